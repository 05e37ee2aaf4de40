// csrc/core/outline.h -- where the surface that one pixel shows ends, on the way to the middle of a pixel beside it.
//
// A line runs from the middle of one pixel to the middle of the next, 1 long. Coordinates of a point of the image:
// u along the line (0 at its start, 1 at its end), v across it. The surface is followed from the face at the start
// over the mesh: the line leaves a face through one of its edges; if the face on the other side goes on beyond that
// edge, it is entered, else the surface ends there, at u = t. So an outline is found however many faces of less than
// a pixel lie between it and the middle of the pixel; looking at the edges of the pixel's own face only (Laine et al.
// 2020) misses most outlines of a face model's mesh, whose triangles are about a pixel.
//
// A corner with v = 0 counts as v < 0, which is the rasteriser's top-left rule: so the start is inside its face without
// exception, and every face met has exactly one corner alone on its side of the line.
#pragma once
#include "core/vec.h"

namespace pyface3d {

// The mesh as one image sees it. `opposite` is Topology.opposite_corners: for corner k of face f, the corner 3 g + j
// that faces the same edge from its other side, or -1.
template <class T> struct OutlineMesh {
  const T* verts;
  const int32_t* faces;
  const int32_t* opposite;
};

// From the middle (x, y) of a pixel one pixel in the direction of an axis: horizontal or vertical, sign +1 or -1.
struct OutlineLine {
  double x, y;
  bool horizontal;
  int sign;
};

struct OutlinePoint {
  double u, v;
  bool above;  // v > 0
  int32_t vertex;
};

template <class T> PF3D_HD OutlinePoint outline_point(const T* verts, int32_t vertex, const OutlineLine& line) {
  const double x = double(verts[3 * int64_t(vertex)]) - line.x, y = double(verts[3 * int64_t(vertex) + 1]) - line.y;
  const double u = (line.horizontal ? x : y) * line.sign, v = line.horizontal ? y : x;
  return {u, v, v > 0, vertex};
}

// Finite, as the rasteriser has it: a face with another corner is not drawn at all.
template <class T> PF3D_HD bool drawable(const T* verts, int32_t vertex) {
  const Vec3<T> p = load3(verts, vertex);
  const double reach = fabs(double(p.x)) + fabs(double(p.y)) + fabs(double(p.z));
  return reach <= 1e100;  // false for NaN and infinity
}

template <class T> PF3D_HD bool in_front(const T* verts, int32_t vertex) {
  return drawable(verts, vertex) && verts[3 * int64_t(vertex) + 2] > T(0);
}

// u where the edge a b meets the line; a and b lie on different sides of it.
PF3D_HD double line_crossing(const OutlinePoint& a, const OutlinePoint& b) {
  return (a.u * b.v - b.u * a.v) / (b.v - a.v);
}

// Whether that is 1 at most, up to rounding: an edge through the middle of the other pixel ends the surface there.
PF3D_HD bool crosses_by_end(const OutlinePoint& a, const OutlinePoint& b) {
  const double top = a.u * b.v - b.u * a.v, end = (b.v - a.v) * (1 + 1e-9);
  return a.above ? top >= end : top <= end;  // false for NaN
}

// Twice the signed area of a, b, c from differences of the stored coordinates.
template <class T> PF3D_HD double signed_area(const T* verts, int32_t a, int32_t b, int32_t c) {
  const Vec3<T> p = load3(verts, a), q = load3(verts, b), r = load3(verts, c);
  return (double(q.x) - p.x) * (double(r.y) - p.y) - (double(q.y) - p.y) * (double(r.x) - p.x);
}

// Whether c lies beyond the edge a b, on the side the line goes to; exactly on the edge is not beyond.
template <class T>
PF3D_HD bool lies_beyond(const T* verts, const OutlinePoint& a, const OutlinePoint& b, int32_t c,
                         const OutlineLine& line) {
  const bool kept = (a.above == line.horizontal) != (line.sign < 0);  // orientation from (x, y), a b to (u, v), upwards
  const double area = signed_area(verts, a.vertex, b.vertex, c);
  return kept ? area > 0 : area < 0;
}

// Of the lines through an edge, horizontal ones are for edges of 45 degrees and steeper, vertical ones for the others:
// an edge that moves changes the area of a shape by its own length times the way, and either family sums to just that.
template <class T> PF3D_HD bool is_across(const T* verts, int32_t a, int32_t b, bool horizontal) {
  const Vec3<T> p = load3(verts, a), q = load3(verts, b);
  const bool steep = fabs(double(q.y) - p.y) >= fabs(double(q.x) - p.x);
  return steep == horizontal;
}

constexpr int32_t kGoesOn = -1, kNothing = -2;

// The corner 3 f + k that faces the edge where the surface of `face`, shown at the start of the line, ends before the
// line does. kNothing where it is the surface of `other`, shown at the end, or the edge is for lines of the other
// direction; kGoesOn where it passes the end unseen, or a corner at or behind the camera (depth <= 0) comes into it.
template <class T> PF3D_HD int32_t find_outline(const OutlineMesh<T>& mesh, const OutlineLine& line, int32_t face,
                                     int32_t other) {
  constexpr int kMostFaces = 1024;  // on one line; no mesh needs more, and a broken one cannot hang us
  const int32_t* ids = mesh.faces + 3 * int64_t(face);
  if (!in_front(mesh.verts, ids[0]) || !in_front(mesh.verts, ids[1]) || !in_front(mesh.verts, ids[2])) return kGoesOn;
  const OutlinePoint p = outline_point(mesh.verts, ids[0], line), q = outline_point(mesh.verts, ids[1], line),
                     r = outline_point(mesh.verts, ids[2], line);
  if (p.above == q.above && q.above == r.above) return kGoesOn;  // not the face of this pixel
  const int alone = p.above == q.above ? 2 : p.above == r.above ? 1 : 0;
  OutlinePoint a = alone == 0 ? p : alone == 1 ? q : r;  // by name: an index would put them into memory on CUDA
  const OutlinePoint next = alone == 0 ? q : alone == 1 ? r : p, last = alone == 0 ? r : alone == 1 ? p : q;
  const bool by_next = line_crossing(a, next) > line_crossing(a, last);
  OutlinePoint b = by_next ? next : last;
  int32_t corner = 3 * face + (alone + (by_next ? 2 : 1)) % 3;
  for (int i = 0; i < kMostFaces; ++i) {
    if (!crosses_by_end(a, b)) return kGoesOn;
    const int32_t far = mesh.opposite[corner];
    bool ends = far < 0;
    int32_t vertex = 0;
    if (!ends) {
      vertex = mesh.faces[far];
      if (in_front(mesh.verts, vertex))
        ends = !lies_beyond(mesh.verts, a, b, vertex, line);
      else if (drawable(mesh.verts, vertex))
        return kGoesOn;
      else
        ends = true;
    }
    if (ends) return is_across(mesh.verts, a.vertex, b.vertex, line.horizontal) ? corner : kNothing;
    if (far / 3 == other) return kNothing;
    // Out of the entered face by the edge between its third corner and that end of the old edge which stays.
    const OutlinePoint c = outline_point(mesh.verts, vertex, line);
    const bool replaces_a = c.above == a.above;
    const int32_t first = far - far % 3, j = first + (far - first + 1) % 3, k = first + (far - first + 2) % 3;
    corner = mesh.faces[j] == (replaces_a ? a : b).vertex ? j : k;
    a = replaces_a ? c : a;
    b = replaces_a ? b : c;
  }
  return kGoesOn;
}

// The outline between two neighbouring pixels: 0 where there is none, corner + 1 where the surface of the first
// (left or upper) pixel ends, -(corner + 1) where that of the second does. The nearer pixel is asked first; equal
// depths: the first. (The farther surface may end in front of the nearer one where both are steep.)
template <class T>
PF3D_HD int32_t outline_between(const OutlineMesh<T>& mesh, int x, int y, bool horizontal, int32_t face, int32_t other,
                                T depth, T other_depth) {
  if (face == other) return 0;
  const OutlineLine there{x + 0.5, y + 0.5, horizontal, 1};
  const OutlineLine back{x + (horizontal ? 1.5 : 0.5), y + (horizontal ? 0.5 : 1.5), horizontal, -1};
  const bool first = other < 0 || (face >= 0 && depth <= other_depth);
  for (int turn = 0; turn < 2; ++turn) {
    const bool mine = first == (turn == 0);
    if ((mine ? face : other) < 0) continue;
    const int32_t corner = find_outline(mesh, mine ? there : back, mine ? face : other,
                                        mine ? other : face);
    if (corner >= 0) return mine ? corner + 1 : -(corner + 1);
    if (corner == kNothing) return 0;
  }
  return 0;
}

}  // namespace pyface3d
