// csrc/core/hierarchy.h -- the vertices of a mesh gathered into ever fewer aggregates, as one array of integers.
//
// Nodes are numbered through: [0, V) are the vertices, then the aggregates of the first level, of the second, and so
// on. Header: number of levels above the vertices, then the first node of each level and the end of the last. What follows
// has fixed places, so that a program can be compiled before the mesh is known; what does not fit is not coarsened.
#pragma once
#include <cstdint>

#include "core/vec.h"

namespace pyface3d {

constexpr int kMaxLevels = 13;
constexpr int64_t kHierarchyHeader = 16;

PF3D_HD int64_t aggregate_room(int64_t num_verts) { return num_verts / 4 + 1; }
PF3D_HD int64_t aggregate_edge_room(int64_t num_verts) { return 2 * num_verts; }

template <class Int> struct Hierarchy {
  Int* data;
  int64_t num_verts;

  PF3D_HD int64_t nodes() const { return num_verts + aggregate_room(num_verts); }
  PF3D_HD Int& levels() const { return data[0]; }
  PF3D_HD Int& first(int level) const { return data[1 + level]; }
  // Of every node: the aggregate it is in, or -1.
  PF3D_HD Int* parents() const { return data + kHierarchyHeader; }
  // Of aggregate a - V: its members, and its neighbours on its level, both rising.
  PF3D_HD Int* member_offsets() const { return parents() + nodes(); }
  PF3D_HD Int* members() const { return member_offsets() + aggregate_room(num_verts) + 1; }
  PF3D_HD Int* edge_offsets() const { return members() + nodes(); }
  PF3D_HD Int* neighbours() const { return edge_offsets() + aggregate_room(num_verts) + 1; }
};

}  // namespace pyface3d
