// csrc/cpu/parallel.cpp -- workers are made at first use, sleep between jobs and are left to the system at exit.
//
// Whoever calls does the work too, and waits for no worker that has not begun: where the other cores are busy, a job
// takes no longer than on one thread. A worker looks out for the next job a moment before it sleeps, because kernels
// come as several jobs in a row.
#include "cpu/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#ifndef _WIN32
#include <pthread.h>
#endif

namespace pyface3d::cpu {
namespace {

// Returns when `done()` holds or about so long has passed.
template <class Done> void look_out(std::chrono::microseconds time, Done done) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (!done() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
}

class Pool {
 public:
  // One job at a time: false when another caller holds the pool.
  bool run(int threads, int64_t count, int64_t piece, const std::function<void(int64_t, int64_t)>& body) {
    std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
    if (!owner.owns_lock()) return false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while (workers_ < threads - 1) {
        std::thread(&Pool::work, this, workers_).detach();
        ++workers_;
      }
      body_ = &body;
      count_ = count;
      piece_ = piece;
      next_.store(0);
      helpers_ = threads - 1;
      error_ = nullptr;
      open_ = true;
      ++job_;
    }
    wake_.notify_all();
    drain();
    look_out(std::chrono::microseconds(20), [&] { return busy_.load() == 0; });
    std::unique_lock<std::mutex> lock(mutex_);
    open_ = false;  // a worker that wakes up now finds nothing to do
    done_.wait(lock, [&] { return busy_.load() == 0; });
    if (error_) std::rethrow_exception(error_);
    return true;
  }

 private:
  void drain() {
    try {
      for (;;) {
        const int64_t begin = next_.fetch_add(piece_);
        if (begin >= count_) return;
        (*body_)(begin, std::min(begin + piece_, count_));
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      next_.store(count_);
    }
  }

  void work(int id) {
    uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return job_.load() != seen; });
        seen = job_.load();
        if (!open_ || id >= helpers_) continue;  // too late, or this job wants fewer threads
        ++busy_;
      }
      drain();
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (--busy_ == 0) done_.notify_one();
      }
      look_out(std::chrono::microseconds(50), [&] { return job_.load() != seen; });
    }
  }

  std::mutex owner_, mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0, piece_ = 1;
  std::atomic<int64_t> next_{0};
  std::atomic<uint64_t> job_{0};
  std::atomic<int> busy_{0};  // workers that have begun
  int workers_ = 0, helpers_ = 0;
  bool open_ = false;
  std::exception_ptr error_;
};

Pool* pool = nullptr;

Pool& the_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    pool = new Pool;  // never destroyed: a worker may outlive static destruction
#ifndef _WIN32
    pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });  // a forked child has none of the parent's threads
#endif
  });
  return *pool;
}

}  // namespace

void parallel_for(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  threads = static_cast<int>(std::min<int64_t>(threads, (count + grain - 1) / grain));
  if (threads > 1) {
    const int64_t piece = std::max(grain, (count + 4 * threads - 1) / (4 * threads));  // four each, for balance
    if (the_pool().run(threads, count, piece, body)) return;
  }
  body(0, count);
}

}  // namespace pyface3d::cpu
