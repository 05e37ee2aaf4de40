// tests/cuda_emulation/machine.h -- shared by runtime.cpp (threads, barriers) and memory.cpp (who touches what).
#pragma once
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "context.h"
#include "cuda_runtime.h"

namespace emulation {

struct Fibre;

// Lanes that wait for each other in one call with one mask. Two generations of values, because a lane may come back
// with its next value before the last one has read the old ones.
struct Meeting {
  unsigned mask = 0, arrived = 0, generation = 0;
  Collective what = Collective::kSync;
  uint64_t values[2][32] = {};
  unsigned present[2] = {};
  std::vector<Fibre*> waiting;
};

struct Warp {
  unsigned alive = 0;    // lanes that have not returned
  uint32_t epoch = 0;    // barriers of the whole warp so far
  std::list<Meeting> meetings;
};

struct Block {
  uint3 index{};
  uint32_t number = 0;  // in the grid, from 1
  uint32_t epoch = 0;   // barriers so far
  unsigned alive = 0;
  int predicates = 0, counted = 0;
  std::vector<Fibre*> waiting;
  std::vector<Warp> warps;
  std::unordered_map<uintptr_t, uint32_t> shared;  // its words of shared memory while another block has the place
};

struct Fibre {
  Context context;
  char* stack = nullptr;
  bool made = false;
  Block* block = nullptr;
  unsigned thread = 0;
  unsigned lane() const { return thread % 32; }
  Warp& warp() const { return block->warps[thread / 32]; }
};

constexpr size_t kStack = 64 << 10;

enum class Access { kRead, kWrite, kAtomic };

Fibre* current();  // null on the host's side
uint32_t launch_number();
void maybe_yield();                         // lets another thread go on, in a random schedule
[[noreturn]] void fail(const std::string&); // ends the launch; called in a thread of the kernel

void check_access(const void* at, size_t bytes, Access access);
bool known_memory(const void* at, size_t bytes);
void forget_shared_owners();

}  // namespace emulation
