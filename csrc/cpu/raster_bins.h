// csrc/cpu/raster_bins.h -- the first pass of the rasteriser: which faces may cover which pixels.
//
// All faces, kFaceLanes at a time, in loops without branches. Most cover a pixel or none and leave the few pairs of a
// face and a pixel worth a look; larger ones are noted as they are. Each band of rows has a list.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/offsets.h"
#include "core/raster.h"
#include "cpu/corner_lanes.h"

namespace pyface3d::cpu {

// Faces, with a pixel x + (y << 16) each that they may cover.
class Candidates {
 public:
  void clear() { size_ = 0; }
  int64_t size() const { return size_; }
  const int32_t* faces() const { return faces_.data(); }
  const uint32_t* pixels() const { return pixels_.data(); }

  // Room for so many lanes; push asks for none.
  void reserve(int64_t lanes) {
    if (size_ + lanes <= int64_t(faces_.size())) return;
    faces_.resize(std::max<int64_t>(256, 2 * size_));  // a picture on many threads has many lists
    pixels_.resize(faces_.size());
  }
  void push(uint32_t bits, const int32_t (&face)[kFaceLanes], const uint32_t (&pixel)[kFaceLanes]) {
    pack_lanes(bits, face, faces_.data() + size_);
    pack_lanes(bits, pixel, pixels_.data() + size_);
    size_ += count_bits(bits);
  }
  void push(int32_t face, uint32_t pixel) {
    faces_[size_] = face;
    pixels_[size_++] = pixel;
  }
  // Fills the lanes after the last pair with it.
  void pad() {
    if (size_ == 0) return;
    reserve(kFaceLanes);
    std::fill_n(faces_.begin() + size_, kFaceLanes, faces_[size_ - 1]);
    std::fill_n(pixels_.begin() + size_, kFaceLanes, pixels_[size_ - 1]);
  }

 private:
  std::vector<int32_t> faces_;
  std::vector<uint32_t> pixels_;
  int64_t size_ = 0;
};

// A face of many pixels and their box.
struct LargeFace {
  int32_t face;
  int16_t x0, x1, y0, y1;
};

// What the first pass leaves for a band: candidates, faces of many pixels, faces with a corner behind the camera.
struct Bin {
  Candidates candidates;
  std::vector<LargeFace> large;
  std::vector<int32_t> clipped;

  void clear() {
    candidates.clear();
    large.clear();
    clipped.clear();
  }
};

// What all faces of an image share.
template <class T> struct Scene {
  const RasterVertex<T>* verts;
  const int32_t* faces;
  int width, height, band_shift;  // a band is 2^band_shift rows
  bool cull_back, one_band;

  const int32_t* row(int32_t face) const { return faces + corner_offset(face); }
  int band(int y) const { return y >> band_shift; }
};

// 1 where a face may cover the pixel at (px, py), 0 where it surely does not. A rounded edge value may be 0 where it
// should not be, but never has the wrong sign: products keep their order when they round.
template <class T> int32_t may_cover(const T (&x)[3], const T (&y)[3], T px, T py, bool cull_back) {
  const T ax = x[0] - px, ay = y[0] - py, bx = x[1] - px, by = y[1] - py, cx = x[2] - px, cy = y[2] - py;
  const T p0 = by * cx, q0 = bx * cy, p1 = cy * ax, q1 = cx * ay, p2 = ay * bx, q2 = ax * by;
  const int32_t front = int32_t(p0 >= q0) & int32_t(p1 >= q1) & int32_t(p2 >= q2);
  const int32_t back = int32_t(p0 <= q0) & int32_t(p1 <= q1) & int32_t(p2 <= q2) & int32_t(!cull_back);
  return front | back;
}

// Pixels of a box, kFaceLanes at a time. Narrow boxes run on from one row to the next, so that no lane idles; wide ones
// start every row anew.
template <class T> struct BoxWalk {
  PixelBox box;
  int columns, turns, length;
  T per_column;

  explicit BoxWalk(const PixelBox& b) : box(b), columns(b.x1 - b.x0 + 1) {
    const int rows = b.y1 - b.y0 + 1;
    const bool narrow = columns < kFaceLanes;
    turns = narrow ? 1 : rows;
    length = narrow ? columns * rows : columns;
    per_column = narrow ? T(1) / T(columns) : T(0);
  }

  // The pixels x + (y << 16) from the start-th of this turn on; bit l is set where the face may cover the l-th.
  uint32_t hits(const T (&x)[3], const T (&y)[3], bool cull_back, int turn, int start,
                uint32_t (&pixel)[kFaceLanes]) const {
    int32_t hit[kFaceLanes];
    const T ax = x[0], ay = y[0], bx = x[1], by = y[1], cx = x[2], cy = y[2];
    const T left = T(box.x0), top = T(box.y0 + turn), step = T(columns), share = per_column;
    const int32_t real = length - start;
    for (int l = 0; l < kFaceLanes; ++l) {
      const T k = T(start + l);
      const T down = std::floor((k + T(0.5)) * share);  // row of the k-th pixel; k is small here
      const T u = left + (k - down * step), v = top + down;
      hit[l] = int32_t(l < real) & may_cover({ax, bx, cx}, {ay, by, cy}, u + T(0.5), v + T(0.5), cull_back);
      pixel[l] = uint32_t(int32_t(u)) | uint32_t(int32_t(v)) << 16;
    }
    return lane_bits(hit);
  }
};

constexpr int kMediumPixels = 64;  // boxes of so many pixels still leave pairs

// The first pass over the kFaceLanes faces from `first` on, `count` of them real; bins[b] is that of band b.
// kAhead: all vertices lie in front of the camera.
template <bool kAhead, class T> void find_candidates(const Scene<T>& scene, int32_t first, int count, Bin* bins) {
  CornerLanes<T> c;
  const int32_t* rows = scene.row(first);
  if (count == kFaceLanes)
    load_corner_lanes<!kAhead>(scene.verts, [=](int l) { return rows + 3 * l; }, c);
  else
    load_corner_lanes<!kAhead>(scene.verts, [=](int l) { return rows + 3 * lesser(l, count - 1); }, c);

  // Boxes, and a first sieve: no pixel's middle in the box, or a back face by more than rounding could turn.
  T x0[kFaceLanes], x1[kFaceLanes], y0[kFaceLanes], y1[kFaceLanes];
  int32_t small[kFaceLanes], large[kFaceLanes], clipped[kFaceLanes];
  const T half = T(0.5), slack = 16 * std::numeric_limits<T>::epsilon();
  const T right = T(scene.width - 1), bottom = T(scene.height - 1);
  for (int l = 0; l < kFaceLanes; ++l) {
    const T x_min = lesser(c.x[0][l], lesser(c.x[1][l], c.x[2][l]));
    const T x_max = greater(c.x[0][l], greater(c.x[1][l], c.x[2][l]));
    const T y_min = lesser(c.y[0][l], lesser(c.y[1][l], c.y[2][l]));
    const T y_max = greater(c.y[0][l], greater(c.y[1][l], c.y[2][l]));
    x0[l] = lesser(greater(std::ceil(x_min - half), T(0)), right + T(1));  // every lane's pixel is an integer
    x1[l] = lesser(std::floor(x_max - half), right);
    y0[l] = lesser(greater(std::ceil(y_min - half), T(0)), bottom + T(1));
    y1[l] = lesser(std::floor(y_max - half), bottom);
    const T bx = c.x[1][l] - c.x[0][l], by = c.y[1][l] - c.y[0][l];
    const T cx = c.x[2][l] - c.x[0][l], cy = c.y[2][l] - c.y[0][l];
    const T area = by * cx - bx * cy, uncertain = slack * ((x_max - x_min) * (y_max - y_min));
    const int32_t facing = int32_t(!(area < -uncertain)) | int32_t(!scene.cull_back);  // NaN stays: it overflowed
    const int32_t in_frame = int32_t(x0[l] <= x1[l]) & int32_t(y0[l] <= y1[l]);
    const int32_t real = int32_t(l < count);
    int32_t ahead = 1, drawable = 1;
    if constexpr (!kAhead) {
      const T weight = c.w[0][l] + c.w[1][l] + c.w[2][l];
      ahead = int32_t(c.w[0][l] > T(0)) & int32_t(c.w[1][l] > T(0)) & int32_t(c.w[2][l] > T(0));
      drawable = int32_t(weight == weight);
    }
    const int32_t keep = real & ahead & facing & in_frame;
    const int32_t fits = int32_t(x1[l] - x0[l] <= T(1)) & int32_t(y1[l] - y0[l] <= T(1));
    small[l] = keep & fits;
    large[l] = keep & (1 - fits);
    clipped[l] = real & drawable & (1 - ahead);
  }

  // Boxes of up to 2 x 2 pixels: the four pixels of all lanes.
  int32_t face[kFaceLanes];
  for (int l = 0; l < kFaceLanes; ++l) face[l] = first + l;
  if (scene.one_band) bins->candidates.reserve(4 * kFaceLanes);
  for (int k = 0; k < 4; ++k) {
    const T dx = T(k & 1), dy = T(k >> 1);
    int32_t hit[kFaceLanes];
    uint32_t pixel[kFaceLanes];
    for (int l = 0; l < kFaceLanes; ++l) {
      const T x[3] = {c.x[0][l], c.x[1][l], c.x[2][l]}, y[3] = {c.y[0][l], c.y[1][l], c.y[2][l]};
      const T u = x0[l] + dx, v = y0[l] + dy;
      hit[l] = small[l] & int32_t(u <= x1[l]) & int32_t(v <= y1[l]) &
               may_cover(x, y, u + half, v + half, scene.cull_back);
      pixel[l] = uint32_t(int32_t(u)) | uint32_t(int32_t(v)) << 16;
    }
    uint32_t bits = lane_bits(hit);
    if (scene.one_band) {
      bins->candidates.push(bits, face, pixel);
    } else {
      for (; bits; bits &= bits - 1) {
        const int l = lowest_bit(bits);
        Candidates& candidates = bins[scene.band(int(pixel[l] >> 16))].candidates;
        candidates.reserve(1);
        candidates.push(face[l], pixel[l]);
      }
    }
  }

  for (uint32_t bits = lane_bits(large); bits; bits &= bits - 1) {
    const int l = lowest_bit(bits);
    const PixelBox box{int(x0[l]), int(x1[l]), int(y0[l]), int(y1[l])};
    const int first_band = scene.band(box.y0), last_band = scene.band(box.y1);
    if (int64_t(box.x1 - box.x0 + 1) * (box.y1 - box.y0 + 1) > kMediumPixels || first_band != last_band) {
      const LargeFace item{face[l], int16_t(box.x0), int16_t(box.x1), int16_t(box.y0), int16_t(box.y1)};
      for (int b = first_band; b <= last_band; ++b) bins[b].large.push_back(item);
      continue;
    }
    const T x[3] = {c.x[0][l], c.x[1][l], c.x[2][l]}, y[3] = {c.y[0][l], c.y[1][l], c.y[2][l]};
    const BoxWalk<T> walk(box);
    int32_t same[kFaceLanes];
    uint32_t pixel[kFaceLanes];
    for (int i = 0; i < kFaceLanes; ++i) same[i] = face[l];
    Candidates& candidates = bins[first_band].candidates;
    candidates.reserve(kMediumPixels + kFaceLanes);
    for (int turn = 0; turn < walk.turns; ++turn) {
      for (int start = 0; start < walk.length; start += kFaceLanes)
        candidates.push(walk.hits(x, y, scene.cull_back, turn, start, pixel), same, pixel);
    }
  }
  if constexpr (kAhead) return;
  for (uint32_t bits = lane_bits(clipped); bits; bits &= bits - 1) {
    const int l = lowest_bit(bits);
    const RasterVertex<T> v[3] = {c.corner(0, l), c.corner(1, l), c.corner(2, l)};
    const PixelBox box = pixel_box(v, scene.width, scene.height);
    if (box.x0 > box.x1 || box.y0 > box.y1) continue;
    for (int b = scene.band(box.y0); b <= scene.band(box.y1); ++b) bins[b].clipped.push_back(face[l]);
  }
}

}  // namespace pyface3d::cpu
