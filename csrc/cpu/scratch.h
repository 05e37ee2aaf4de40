// csrc/cpu/scratch.h -- working memory that outlives a call, so that large kernels do not pay for fresh pages each time.
#pragma once
#include <cstddef>
#include <vector>

namespace pyface3d::cpu {

// At least `count` values of this thread's own, undefined at first; good until this thread asks again for type T.
template <class T> T* scratch(size_t count) {
  thread_local std::vector<T> memory;
  if (memory.size() < count) memory.resize(count);
  return memory.data();
}

}  // namespace pyface3d::cpu
