// csrc/cpu/parallel.h -- a pool of threads for loops whose iterations do not touch each other's output.
#pragma once
#include <cstdint>
#include <functional>

namespace pyface3d::cpu {

// Calls body(begin, end) for pieces that cover [0, count) once; pieces hold at least `grain` iterations.
// The pieces depend on `threads`, so a result may not depend on where a piece begins: then it has the same bits
// for any thread count. Runs inline when one piece is enough or when the pool is busy with another caller.
void parallel_for(int threads, int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace pyface3d::cpu
