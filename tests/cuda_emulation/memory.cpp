// tests/cuda_emulation/memory.cpp -- every load and store of a kernel comes by here (the compiler's -fsanitize=thread
// puts the calls in; its run-time library is not linked, the functions below take its place). Answers three questions:
// is the address inside a tensor of this call; does another thread touch it in the same launch, one of them writing,
// not both atomically, and no barrier between; which block's shared memory lies there at the moment.
#include <link.h>

#include <algorithm>

#include "machine.h"

namespace emulation {
namespace {

// The last access of a kind to a place.
struct Mark {
  uint32_t launch = 0, block = 0, block_epoch = 0, warp_epoch = 0;
  uint16_t thread = 0;
  bool atomic = false;
};

struct Place {
  Mark write, read, other_read;
};

struct Array {
  uintptr_t begin = 0, end = 0;
  size_t granule = 4;
  bool shared = false, constant = false;
  std::vector<Place> places;
};

struct Memory {
  std::vector<Array> arrays;    // the tensors of the call
  std::vector<Array> segments;  // of this module: shared memory (function statics) and constants
  std::unordered_map<uintptr_t, Block*> owners;  // of words of shared memory
  bool checks = true;
};
Memory* const the_memory = new Memory;  // on the heap: it must not lie in the segment that it watches
Memory& memory() { return *the_memory; }

int add_segments(dl_phdr_info* info, size_t, void*) {
  const uintptr_t here = reinterpret_cast<uintptr_t>(&add_segments);
  std::vector<Array> found;
  bool ours = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    Array segment;
    segment.begin = info->dlpi_addr + header.p_vaddr;
    segment.end = segment.begin + header.p_memsz;
    segment.shared = (header.p_flags & PF_W) != 0;
    segment.constant = !segment.shared;
    ours |= segment.begin <= here && here < segment.end;
    if (segment.shared) segment.places.resize((segment.end - segment.begin) / segment.granule + 1);
    found.push_back(std::move(segment));
  }
  if (ours) memory().segments = std::move(found);
  return ours;
}

Array* find(uintptr_t at, size_t bytes) {
  Memory& m = memory();
  for (auto* arrays : {&m.arrays, &m.segments})
    for (Array& array : *arrays)
      if (array.begin <= at && at + bytes <= array.end) return &array;
  return nullptr;
}

std::string describe(uintptr_t at, size_t bytes) {
  const Memory& m = memory();
  std::string text = std::to_string(bytes) + " bytes";
  const Array* nearest = nullptr;
  auto distance = [at](const Array& a) { return at < a.begin ? a.begin - at : at >= a.end ? at - a.end : 0; };
  for (const Array& a : m.arrays)
    if (!nearest || distance(a) < distance(*nearest)) nearest = &a;
  if (!nearest || distance(*nearest) > 1 << 20) return text;
  return text + " at byte " + std::to_string(static_cast<int64_t>(at - nearest->begin)) + " of tensor " +
         std::to_string(nearest - m.arrays.data()) + " of the call, which has " +
         std::to_string(nearest->end - nearest->begin);
}

bool clash(const Mark& mark, const Mark& now, bool shared) {
  if (mark.launch != now.launch || (mark.atomic && now.atomic)) return false;
  if (mark.block != now.block) return !shared;
  if (mark.thread == now.thread || mark.block_epoch != now.block_epoch) return false;
  return mark.thread / 32 != now.thread / 32 || mark.warp_epoch == now.warp_epoch;
}

void note(Array& array, uintptr_t at, size_t bytes, Access access) {
  const Fibre& me = *current();
  const Mark now{launch_number(),     me.block->number,          me.block->epoch,
                 me.warp().epoch,     static_cast<uint16_t>(me.thread), access == Access::kAtomic};
  const size_t first = (at - array.begin) / array.granule, last = (at + bytes - 1 - array.begin) / array.granule;
  for (size_t i = first; i <= last; ++i) {
    Place& place = array.places[i];
    const bool writes = access != Access::kRead;
    const Mark* against = clash(place.write, now, array.shared) ? &place.write : nullptr;
    if (writes && !against && clash(place.read, now, array.shared)) against = &place.read;
    if (writes && !against && clash(place.other_read, now, array.shared)) against = &place.other_read;
    if (against)
      fail("race: " + describe(at, bytes) + (array.shared ? " (shared memory)" : "") + " is touched by block " +
           std::to_string(against->block - 1) + " thread " + std::to_string(against->thread) + " and " +
           (writes ? "written" : "read") + " by block " + std::to_string(now.block - 1) + " thread " +
           std::to_string(now.thread) + ", no barrier between");
    if (writes) {
      place.write = now;
    } else {
      if (place.read.block != now.block || place.read.thread != now.thread) place.other_read = place.read;
      place.read = now;
    }
  }
}

// Shared memory is one function static for all blocks: a word changes hands when another block comes to it.
void take_over(uintptr_t at, size_t bytes) {
  Block* me = current()->block;
  for (uintptr_t word = at & ~uintptr_t(3); word < at + bytes; word += 4) {
    Block*& owner = memory().owners[word];
    if (owner == me) continue;
    uint32_t* place = reinterpret_cast<uint32_t*>(word);
    if (owner) owner->shared[word] = *place;
    const auto mine = me->shared.find(word);
    if (mine != me->shared.end()) *place = mine->second;
    owner = me;
  }
}

}  // namespace

bool known_memory(const void* at, size_t bytes) {
  return !memory().checks || bytes == 0 || find(reinterpret_cast<uintptr_t>(at), bytes);
}

void forget_shared_owners() {
  Memory& m = memory();
  m.owners.clear();
  if (m.segments.empty()) dl_iterate_phdr(add_segments, nullptr);
}

void check_access(const void* pointer, size_t bytes, Access access) {
  const Fibre* me = current();
  if (!me) return;
  const uintptr_t at = reinterpret_cast<uintptr_t>(pointer), stack = reinterpret_cast<uintptr_t>(me->stack);
  if (at >= stack && at + bytes <= stack + kStack) return;
  maybe_yield();
  Array* array = find(at, bytes);
  if (!array) {
    if (!memory().checks) return;
    fail("out of bounds: " + describe(at, bytes));
  }
  if (array->constant) return;
  if (array->shared) take_over(at, bytes);
  if (memory().checks) note(*array, at, bytes, access);
}

}  // namespace emulation

// Called from Python through ctypes before every entry point: the memory that its tensors have.
extern "C" __attribute__((visibility("default"))) void emulation_set_arrays(int count, const uintptr_t* begins,
                                                                            const size_t* bytes, const size_t* items,
                                                                            int checks) {
  auto& m = emulation::memory();
  m.arrays.assign(count, {});
  m.checks = checks != 0;
  for (int i = 0; i < count; ++i) {
    m.arrays[i].begin = begins[i];
    m.arrays[i].end = begins[i] + bytes[i];
    m.arrays[i].granule = std::min<size_t>(items[i], 4);
    m.arrays[i].places.resize(checks ? bytes[i] / m.arrays[i].granule + 1 : 0);
  }
}

// The functions that -fsanitize=thread calls.
#define HOOK(name, bytes, access)                                          \
  extern "C" void __tsan_##name(const void* at) {                          \
    emulation::check_access(at, bytes, emulation::Access::access);         \
  }
#define HOOKS(bytes)                                      \
  HOOK(read##bytes, bytes, kRead)                         \
  HOOK(write##bytes, bytes, kWrite)                       \
  HOOK(unaligned_read##bytes, bytes, kRead)               \
  HOOK(unaligned_write##bytes, bytes, kWrite)             \
  HOOK(volatile_read##bytes, bytes, kAtomic)              \
  HOOK(volatile_write##bytes, bytes, kAtomic)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
extern "C" void __tsan_read_range(const void* at, size_t bytes) {
  emulation::check_access(at, bytes, emulation::Access::kRead);
}
extern "C" void __tsan_write_range(const void* at, size_t bytes) {
  emulation::check_access(at, bytes, emulation::Access::kWrite);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit(void*) {}
extern "C" char __tsan_atomic8_load(const volatile char* at, int) { return *at; }

// The guard of a static with a constructor. In a kernel such a static is a __shared__ array, whose constructor nvcc
// leaves out; anywhere else the module runs under Python's lock.
extern "C" int __cxa_guard_acquire(char* done) { return !emulation::current() && !*done; }
extern "C" void __cxa_guard_release(char* done) { *done = 1; }
