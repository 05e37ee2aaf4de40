// csrc/cpu/aggregation.h -- the coarse levels of a mesh's graph for a multigrid cycle.
#pragma once
#include <cstdint>

namespace pyface3d::cpu {

// The graph as made by mesh_graph -> hierarchy, laid out as core/hierarchy.h says; what is not used is -1.
void aggregate(const int32_t* offsets, const int32_t* neighbours, int32_t* hierarchy, int64_t num_verts);

}  // namespace pyface3d::cpu
