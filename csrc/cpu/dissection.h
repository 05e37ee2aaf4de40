// csrc/cpu/dissection.h -- the graph of a mesh's edges, and an order of its vertices in which elimination fills in
// little.
#pragma once
#include <cstdint>

namespace pyface3d::cpu {

// faces (F, 3) over V vertices -> neighbours of each vertex, rising, without itself: offsets (V + 1) into neighbours,
// which has room for 6 F; what is left over is set to -1.
void mesh_graph(const int32_t* faces, int32_t* offsets, int32_t* neighbours, int64_t num_faces, int64_t num_verts);

// Nested dissection of that graph: a separator of few vertices halves it, the halves come first, each ordered alike,
// and the separator last. order (V): vertices in the order of elimination; blocks (V): for each place of that order the
// number of its block, rising from 0. A block is a separator, or a piece too small to cut.
void nested_dissection(const int32_t* offsets, const int32_t* neighbours, int32_t* order, int32_t* blocks,
                       int64_t num_verts);

}  // namespace pyface3d::cpu
