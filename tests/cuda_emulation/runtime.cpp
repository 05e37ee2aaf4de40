// tests/cuda_emulation/runtime.cpp -- runs the threads of a launch as fibres on one thread of the host.
//
// Seed 0: blocks one after the other, their threads in order, each until it ends or waits. Any other seed: several
// blocks at a time, the next thread drawn at random at every barrier, atomic, and at some of the loads and stores.
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>

#include "machine.h"

namespace emulation {
namespace {

constexpr unsigned kMaxThreads = 1024;
constexpr size_t kBlocksAtATime = 3;

struct Machine {
  std::mutex mutex;  // one launch at a time
  uint64_t seed = 0, state = 0;
  int64_t max_blocks = 2;
  uint32_t launches = 0, scheduled = 0;  // in all; since the schedule was set
  Context scheduler;
  std::vector<std::unique_ptr<Fibre>> fibres;
  std::vector<Fibre*> idle;
  std::deque<Fibre*> runnable;
  Fibre* current = nullptr;
  std::string failure;
  dim3 grid, size;
  void (*body)(void*) = nullptr;
  void* closure = nullptr;
};
Machine* const the_machine = new Machine;  // on the heap: its module's data is the kernels' shared memory
Machine& machine() { return *the_machine; }

// xorshift64*: M. E. O'Neill's and S. Vigna's parameters; quality hardly matters here.
uint64_t draw() {
  uint64_t& x = machine().state;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  return x * 0x2545F4914F6CDD1Dull;
}

void to_scheduler() {
  Machine& m = machine();
  switch_context(&m.current->context, &m.scheduler);
}

void release(std::vector<Fibre*>& waiting) {
  for (Fibre* fibre : waiting) machine().runnable.push_back(fibre);
  waiting.clear();
}

// The block's barrier opens once all threads that have not returned wait at it.
void open_barrier(Block& block) {
  if (block.waiting.empty() || block.waiting.size() != block.alive) return;
  ++block.epoch;
  block.counted = block.predicates;
  block.predicates = 0;
  release(block.waiting);
}

void open_meeting(Warp& warp, Meeting& meeting) {
  if (!meeting.arrived || meeting.arrived != (meeting.mask & warp.alive)) return;
  meeting.present[meeting.generation & 1] = meeting.arrived;
  meeting.arrived = 0;
  ++meeting.generation;
  if (meeting.what == Collective::kSync && (meeting.mask & warp.alive) == warp.alive) ++warp.epoch;
  release(meeting.waiting);
}

void live() {
  Machine& m = machine();
  for (;;) {
    m.body(m.closure);
    Fibre& me = *m.current;
    Block& block = *me.block;
    --block.alive;
    me.warp().alive &= ~(1u << me.lane());
    for (Meeting& meeting : me.warp().meetings) open_meeting(me.warp(), meeting);
    open_barrier(block);
    m.idle.push_back(&me);
    to_scheduler();
  }
}

Fibre& idle_fibre() {
  Machine& m = machine();
  if (m.idle.empty()) {
    m.fibres.push_back(std::make_unique<Fibre>());
    void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) throw std::runtime_error("no memory for the stack of an emulated thread");
    m.fibres.back()->stack = static_cast<char*>(stack);
    m.idle.push_back(m.fibres.back().get());
  }
  Fibre& fibre = *m.idle.back();
  m.idle.pop_back();
  if (!fibre.made) {
    make_context(&fibre.context, fibre.stack, kStack, &live);
    fibre.made = true;
  }
  return fibre;
}

std::unique_ptr<Block> start(int64_t number, unsigned threads) {
  Machine& m = machine();
  auto block = std::make_unique<Block>();
  block->number = static_cast<uint32_t>(number + 1);
  block->index = {static_cast<unsigned>(number % m.grid.x), static_cast<unsigned>(number / m.grid.x % m.grid.y),
                  static_cast<unsigned>(number / m.grid.x / m.grid.y)};
  block->alive = threads;
  block->warps.resize((threads + 31) / 32);
  for (unsigned t = 0; t < threads; ++t) {
    Fibre& fibre = idle_fibre();
    fibre.block = block.get();
    fibre.thread = t;
    fibre.warp().alive |= 1u << fibre.lane();
    m.runnable.push_back(&fibre);
  }
  return block;
}

Fibre* next_fibre() {
  std::deque<Fibre*>& runnable = machine().runnable;
  if (machine().seed) std::swap(runnable[draw() % runnable.size()], runnable.front());
  Fibre* fibre = runnable.front();
  runnable.pop_front();
  return fibre;
}

std::string where(const Fibre& fibre) {
  const uint3 b = fibre.block->index;
  return "block (" + std::to_string(b.x) + ", " + std::to_string(b.y) + ", " + std::to_string(b.z) + ") thread " +
         std::to_string(fibre.thread);
}

void run_blocks(unsigned threads) {
  Machine& m = machine();
  const int64_t count = int64_t(m.grid.x) * m.grid.y * m.grid.z;
  std::vector<int64_t> order(count);
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  if (m.seed)
    for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[draw() % uint64_t(i + 1)]);
  std::list<std::unique_ptr<Block>> alive;
  std::vector<std::unique_ptr<Block>> ended;  // shared memory may still name them as its owners
  int64_t begun = 0;
  while (m.failure.empty()) {
    while (begun < count && alive.size() < (m.seed ? kBlocksAtATime : 1)) alive.push_back(start(order[begun++], threads));
    if (alive.empty()) return;
    if (m.runnable.empty()) {
      m.failure = "deadlock: some threads of a block wait at a barrier or in a warp function that others never reach";
      return;
    }
    m.current = next_fibre();
    Block& block = *m.current->block;
    switch_context(&m.scheduler, &m.current->context);
    m.current = nullptr;
    if (block.alive == 0) {
      const auto at = std::find_if(alive.begin(), alive.end(), [&](auto& b) { return b.get() == &block; });
      ended.push_back(std::move(*at));
      alive.erase(at);
    }
  }
}

// The values of this lane's meeting, once all have come.
Meeting& meet(Collective what, unsigned mask, uint64_t value, unsigned& generation) {
  Fibre& me = *current();
  Warp& warp = me.warp();
  if (!(mask >> me.lane() & 1)) fail("a lane calls a warp function whose mask leaves it out");
  auto found = std::find_if(warp.meetings.begin(), warp.meetings.end(), [&](Meeting& m) { return m.mask == mask; });
  if (found == warp.meetings.end()) {
    warp.meetings.emplace_back();
    found = std::prev(warp.meetings.end());
    found->mask = mask;
  }
  Meeting& meeting = *found;
  if (meeting.arrived && meeting.what != what) fail("lanes of one warp wait in different warp functions");
  meeting.what = what;
  generation = meeting.generation & 1;
  meeting.values[generation][me.lane()] = value;
  meeting.arrived |= 1u << me.lane();
  meeting.waiting.push_back(&me);
  open_meeting(warp, meeting);
  to_scheduler();
  return meeting;
}

template <class T> T combine(T a, T b, Update how) {
  if (how == Update::kAdd) return a + b;
  if (how == Update::kMin) return b < a ? b : a;
  if (how == Update::kMax) return a < b ? b : a;
  if constexpr (std::is_integral_v<T>) {
    if (how == Update::kAnd) return a & b;
    if (how == Update::kOr) return a | b;
    if (how == Update::kXor) return a ^ b;
  }
  return b;
}

}  // namespace

Fibre* current() { return the_machine ? the_machine->current : nullptr; }  // null while the module is being loaded
uint32_t launch_number() { return machine().launches; }
int64_t max_blocks() { return machine().max_blocks; }

void maybe_yield() {
  Machine& m = machine();
  if (!m.seed || draw() % 8) return;
  m.runnable.push_back(m.current);
  to_scheduler();
}

void fail(const std::string& what) {
  Machine& m = machine();
  m.failure = where(*m.current) + ": " + what;
  to_scheduler();
  std::abort();  // the launch is over, nobody comes back
}

uint3 thread_index() { return {current()->thread, 0, 0}; }
uint3 block_index() { return current()->block->index; }
dim3 block_size() { return machine().size; }
dim3 grid_size() { return machine().grid; }
unsigned lane() { return current()->lane(); }

void run(dim3 grid, unsigned threads, void (*body)(void*), void* closure) {
  Machine& m = machine();
  const std::lock_guard<std::mutex> guard(m.mutex);
  if (threads == 0 || threads > kMaxThreads || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu ||
      grid.y > 65535 || grid.z > 65535)
    throw std::runtime_error("a launch with an empty or too large grid or block");
  m.grid = grid;
  m.size = dim3(threads);
  m.body = body;
  m.closure = closure;
  m.failure.clear();
  ++m.launches;
  m.state = (m.seed + ++m.scheduled) * 0x9E3779B97F4A7C15ull | 1;
  forget_shared_owners();
  run_blocks(threads);
  m.current = nullptr;
  if (m.failure.empty()) return;
  m.runnable.clear();  // threads were left where they stood: begin with fresh ones
  m.idle.clear();
  for (auto& fibre : m.fibres) {
    fibre->made = false;
    m.idle.push_back(fibre.get());
  }
  throw std::runtime_error("CUDA emulation, " + m.failure);
}

bool set_memory(void* memory, int value, size_t bytes) {
  if (!known_memory(memory, bytes)) return false;
  memset(memory, value, bytes);
  return true;
}
bool copy_memory(void* to, const void* from, size_t bytes) {
  if (!known_memory(to, bytes) || !known_memory(from, bytes)) return false;
  memcpy(to, from, bytes);
  return true;
}

void sync_block() { sync_block_counting(false); }

int sync_block_counting(bool predicate) {
  Fibre& me = *current();
  me.block->predicates += predicate;
  me.block->waiting.push_back(&me);
  open_barrier(*me.block);
  to_scheduler();
  return me.block->counted;
}

void sync_warp(unsigned mask) {
  unsigned generation;
  meet(Collective::kSync, mask, 0, generation);
}

unsigned vote(unsigned mask, bool predicate) {
  unsigned generation, votes = 0;
  const Meeting& meeting = meet(Collective::kVote, mask, predicate, generation);
  for (unsigned i = 0; i < 32; ++i)
    if (meeting.present[generation] >> i & 1) votes |= unsigned(meeting.values[generation][i]) << i;
  return votes;
}

uint64_t exchange(unsigned mask, uint64_t value, unsigned source) {
  unsigned generation;
  const Meeting& meeting = meet(Collective::kShuffle, mask, value, generation);
  if (!(meeting.present[generation] >> source & 1)) fail("a shuffle reads a lane that takes no part in it");
  return meeting.values[generation][source];
}

template <class T> T reduce(unsigned mask, T value, Update how) {
  unsigned generation;
  const Meeting& meeting = meet(Collective::kReduce, mask, packed(value), generation);
  bool first = true;
  T result{};
  for (unsigned i = 0; i < 32; ++i) {
    if (!(meeting.present[generation] >> i & 1)) continue;
    const T v = unpacked<T>(meeting.values[generation][i]);
    result = first ? v : combine(result, v, how);
    first = false;
  }
  return result;
}

template <class T> T update(T* at, T value, Update how) {
  check_access(at, sizeof(T), Access::kAtomic);
  const T before = *at;
  *at = combine(before, value, how);
  return before;
}

template <class T> T compare_and_swap(T* at, T expected, T value) {
  check_access(at, sizeof(T), Access::kAtomic);
  const T before = *at;
  if (before == expected) *at = value;
  return before;
}

template int update(int*, int, Update);
template unsigned update(unsigned*, unsigned, Update);
template unsigned long long update(unsigned long long*, unsigned long long, Update);
template long long update(long long*, long long, Update);
template float update(float*, float, Update);
template double update(double*, double, Update);
template int compare_and_swap(int*, int, int);
template unsigned compare_and_swap(unsigned*, unsigned, unsigned);
template unsigned long long compare_and_swap(unsigned long long*, unsigned long long, unsigned long long);
template int reduce(unsigned, int, Update);
template unsigned reduce(unsigned, unsigned, Update);

}  // namespace emulation

// Called from Python through ctypes.
extern "C" __attribute__((visibility("default"))) void emulation_schedule(uint64_t seed, int64_t max_blocks) {
  auto& m = emulation::machine();
  m.seed = seed;
  m.max_blocks = max_blocks;
  m.scheduled = 0;
}
