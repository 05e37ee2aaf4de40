// csrc/cpu/parallel.cpp -- workers are made at first use, sleep between jobs and are left to the system at exit.
#include "cpu/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#ifndef _WIN32
#include <pthread.h>
#endif

namespace pyface3d::cpu {
namespace {

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
      busy_ = helpers_;
      error_ = nullptr;
      ++job_;
    }
    wake_.notify_all();
    drain();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
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
        wake_.wait(lock, [&] { return job_ != seen; });
        seen = job_;
        if (id >= helpers_) continue;  // this job wants fewer threads
      }
      drain();
      std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex owner_, mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0, piece_ = 1;
  std::atomic<int64_t> next_{0};
  int workers_ = 0, helpers_ = 0, busy_ = 0;
  uint64_t job_ = 0;
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
