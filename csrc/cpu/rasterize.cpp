// csrc/cpu/rasterize.cpp -- images side by side, or strips of one image when there are fewer images than threads.
//
// A strip is so many rows as stay in the cache while its faces are drawn, and has a list of those faces. They go in
// blocks of kLanes: loops over a block have no branches, so that the compiler treats the lanes side by side, and find
// the few faces and pixels worth a look; sample_face then decides each pixel, exactly and alone. Of two faces at one
// pixel the nearer wins, then the lower: neither the order of the work nor the cut into strips matters.
#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "core/raster.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int kLanes = 16;

// std::min and std::max hand out references, which keeps the compiler from treating lanes side by side.
template <class T> T lesser(T a, T b) { return a < b ? a : b; }
template <class T> T greater(T a, T b) { return a > b ? a : b; }

// The rows [row_begin, row_end) of one image.
template <class T> struct Strip {
  int32_t* face_index;
  T* barycentrics;
  T* depth;
  int width, height, row_begin, row_end;
  bool cull_back;
};

template <class T> void keep_nearest(const Strip<T>& out, int32_t face, int x, int y, const RasterSample<T>& sample) {
  const int64_t p = int64_t(y) * out.width + x;
  const int32_t held = out.face_index[p];
  if (held >= 0 && (out.depth[p] < sample.depth || (out.depth[p] == sample.depth && held < face))) return;
  out.face_index[p] = face;
  out.depth[p] = sample.depth;
  store3(out.barycentrics, p, sample.barycentrics);
}

template <class T> void draw_pixel(const Strip<T>& out, const RasterVertex<T> (&v)[3], int32_t face, int x, int y) {
  RasterSample<T> sample;
  if (sample_face(v, T(x) + T(0.5), T(y) + T(0.5), out.cull_back, sample)) keep_nearest(out, face, x, y, sample);
}

template <class T>
void prepare_vertices(const T* verts_image, int64_t num_verts, bool perspective, RasterVertex<T>* verts) {
  for (int64_t i = 0; i < num_verts; ++i) verts[i] = raster_vertex(load3(verts_image, i), perspective);
}

template <class T> void load_corners(const RasterVertex<T>* verts, const int32_t* face, RasterVertex<T> (&v)[3]) {
  for (int k = 0; k < 3; ++k) v[k] = verts[face[k]];
}

// Corners of a block of faces, one array for each coordinate.
template <class T> struct Corners {
  T x[3][kLanes], y[3][kLanes], w[3][kLanes];
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

// The first `count` of kLanes pixels that a face may cover; it has no corner behind the camera.
template <class T>
void draw_candidates(const Strip<T>& out, const RasterVertex<T> (&v)[3], int32_t face, const T (&px)[kLanes],
                     const T (&py)[kLanes], int count) {
  T beta[3][kLanes], depth[kLanes];
  int32_t inside[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    const EdgeValues at = edge_values(v, px[l], py[l]);
    const RasterSample<T> sample = raster_sample(v, at);
    inside[l] = int32_t(at.e[0] > 0) & int32_t(at.e[1] > 0) & int32_t(at.e[2] > 0) & int32_t(sample.depth > T(0)) &
                int32_t(sample.depth < T(INFINITY));
    beta[0][l] = sample.barycentrics.x;
    beta[1][l] = sample.barycentrics.y;
    beta[2][l] = sample.barycentrics.z;
    depth[l] = sample.depth;
  }
  for (int l = 0; l < count; ++l) {
    if (inside[l])
      keep_nearest(out, face, int(px[l]), int(py[l]), {{beta[0][l], beta[1][l], beta[2][l]}, depth[l]});
    else
      draw_pixel(out, v, face, int(px[l]), int(py[l]));
  }
}

// A face of any size, all corners in front of the camera: its box row after row, kLanes pixels at a time.
template <class T>
void draw_large(const Strip<T>& out, const RasterVertex<T> (&v)[3], int32_t face, const PixelBox& box) {
  const T x[3] = {v[0].x, v[1].x, v[2].x}, y[3] = {v[0].y, v[1].y, v[2].y};
  const int columns = box.x1 - box.x0 + 1, rows = box.y1 - box.y0 + 1;
  // Narrow boxes run on from one row to the next, so that no lane idles; wide ones start every row anew.
  const bool narrow = columns < kLanes;
  const int turns = narrow ? 1 : rows, length = narrow ? columns * rows : columns;
  const T per_column = narrow ? T(1) / T(columns) : T(0);
  for (int turn = 0; turn < turns; ++turn) {
    for (int start = 0; start < length; start += kLanes) {
      T px[kLanes], py[kLanes];
      int32_t hit[kLanes];
      for (int l = 0; l < kLanes; ++l) {
        const T k = T(start + l);
        const T down = std::floor((k + T(0.5)) * per_column);  // row of the k-th pixel; k is small here
        px[l] = T(box.x0) + (k - down * T(columns)) + T(0.5);
        py[l] = T(box.y0) + (down + T(turn)) + T(0.5);
        hit[l] = int32_t(start + l < length) & may_cover(x, y, px[l], py[l], out.cull_back);
      }
      int count = 0;
      for (int l = 0; l < kLanes; ++l) {  // moves the hits to the front
        px[count] = px[l];
        py[count] = py[l];
        count += hit[l];
      }
      if (count > 0) draw_candidates(out, v, face, px, py, count);
    }
  }
}

// A face with corners on both sides of the plane of the camera: every pixel of its box by the full test.
template <class T> void draw_clipped(const Strip<T>& out, const RasterVertex<T> (&v)[3], int32_t face) {
  const PixelBox box = pixel_box(v, out.width, out.height);
  for (int y = std::max(box.y0, out.row_begin); y <= std::min(box.y1, out.row_end - 1); ++y)
    for (int x = box.x0; x <= box.x1; ++x) draw_pixel(out, v, face, x, y);
}

template <class T>
void draw_block(const Strip<T>& out, const RasterVertex<T>* verts, const int32_t* faces, const int32_t* ids,
                int count) {
  Corners<T> c;
  for (int l = 0; l < kLanes; ++l) {
    const int32_t* face = faces + 3 * int64_t(ids[lesser(l, count - 1)]);
    for (int k = 0; k < 3; ++k) {
      const RasterVertex<T>& v = verts[face[k]];
      c.x[k][l] = v.x;
      c.y[k][l] = v.y;
      c.w[k][l] = v.w;
    }
  }

  // Boxes, and a first sieve: no pixel's middle in the box, or a back face by more than rounding could turn.
  T x0[kLanes], x1[kLanes], y0[kLanes], y1[kLanes];
  int32_t small[kLanes], large[kLanes], clipped[kLanes];
  const T half = T(0.5), slack = 16 * std::numeric_limits<T>::epsilon();
  const T right = T(out.width - 1), top = T(out.row_begin), bottom = T(out.row_end - 1);
  for (int l = 0; l < kLanes; ++l) {
    const T x_min = lesser(c.x[0][l], lesser(c.x[1][l], c.x[2][l]));
    const T x_max = greater(c.x[0][l], greater(c.x[1][l], c.x[2][l]));
    const T y_min = lesser(c.y[0][l], lesser(c.y[1][l], c.y[2][l]));
    const T y_max = greater(c.y[0][l], greater(c.y[1][l], c.y[2][l]));
    x0[l] = greater(std::ceil(x_min - half), T(0));
    x1[l] = lesser(std::floor(x_max - half), right);
    y0[l] = greater(std::ceil(y_min - half), top);
    y1[l] = lesser(std::floor(y_max - half), bottom);
    const T bx = c.x[1][l] - c.x[0][l], by = c.y[1][l] - c.y[0][l];
    const T cx = c.x[2][l] - c.x[0][l], cy = c.y[2][l] - c.y[0][l];
    const T area = by * cx - bx * cy, uncertain = slack * ((x_max - x_min) * (y_max - y_min));
    const int32_t facing = int32_t(!(area < -uncertain)) | int32_t(!out.cull_back);  // NaN stays: it overflowed
    const int32_t in_frame = int32_t(x0[l] <= x1[l]) & int32_t(y0[l] <= y1[l]);
    const int32_t real = int32_t(l < count);
    const int32_t drawable = real & int32_t(c.w[0][l] + c.w[1][l] + c.w[2][l] == c.w[0][l] + c.w[1][l] + c.w[2][l]);
    const int32_t ahead = int32_t(c.w[0][l] > T(0)) & int32_t(c.w[1][l] > T(0)) & int32_t(c.w[2][l] > T(0));
    const int32_t keep = real & ahead & facing & in_frame;
    const int32_t fits = int32_t(x1[l] - x0[l] <= T(1)) & int32_t(y1[l] - y0[l] <= T(1));
    small[l] = keep & fits;
    large[l] = keep & (1 - fits);
    clipped[l] = drawable & (1 - ahead);
  }

  // Boxes of up to 2 x 2 pixels: the four candidates of all lanes.
  int32_t hit[4][kLanes];
  for (int k = 0; k < 4; ++k) {
    const T dx = T(k & 1), dy = T(k >> 1);
    for (int l = 0; l < kLanes; ++l) {
      const T x[3] = {c.x[0][l], c.x[1][l], c.x[2][l]}, y[3] = {c.y[0][l], c.y[1][l], c.y[2][l]};
      const int32_t in_box = int32_t(x0[l] + dx <= x1[l]) & int32_t(y0[l] + dy <= y1[l]);
      hit[k][l] = small[l] & in_box & may_cover(x, y, x0[l] + dx + half, y0[l] + dy + half, out.cull_back);
    }
  }
  int32_t candidates[4 * kLanes];  // 4 l + k
  int num_candidates = 0;
  for (int32_t l = 0; l < kLanes; ++l) {
    for (int32_t k = 0; k < 4; ++k) {
      candidates[num_candidates] = 4 * l + k;
      num_candidates += hit[k][l];
    }
  }
  RasterVertex<T> v[3];
  for (int i = 0; i < num_candidates; ++i) {
    const int l = candidates[i] >> 2, k = candidates[i] & 3;
    load_corners(verts, faces + 3 * int64_t(ids[l]), v);
    draw_pixel(out, v, ids[l], int(x0[l]) + (k & 1), int(y0[l]) + (k >> 1));
  }
  for (int l = 0; l < count; ++l) {
    if ((large[l] | clipped[l]) == 0) continue;
    load_corners(verts, faces + 3 * int64_t(ids[l]), v);
    if (large[l])
      draw_large(out, v, ids[l], {int(x0[l]), int(x1[l]), int(y0[l]), int(y1[l])});
    else
      draw_clipped(out, v, ids[l]);
  }
}

// The faces of every strip of an image, in rising order: ids[offsets[s]] to ids[offsets[s + 1]].
struct StripLists {
  std::vector<int32_t> offsets, ids, first, last;

  template <class T>
  void fill(const RasterVertex<T>* verts, const int32_t* faces, int64_t num_faces, int height, int rows, int strips) {
    offsets.assign(strips + 1, 0);
    if (strips == 1) {
      ids.resize(num_faces);
      std::iota(ids.begin(), ids.end(), 0);
      offsets[1] = static_cast<int32_t>(num_faces);
      return;
    }
    first.resize(num_faces);
    last.resize(num_faces);
    for (int64_t f = 0; f < num_faces; ++f) {
      RasterVertex<T> v[3];
      load_corners(verts, faces + 3 * f, v);
      const T low = lesser(v[0].y, lesser(v[1].y, v[2].y)), high = greater(v[0].y, greater(v[1].y, v[2].y));
      const bool ahead = v[0].w > T(0) && v[1].w > T(0) && v[2].w > T(0);  // no: its box is not that of its corners
      const int row0 = ahead ? int(lesser(greater(std::ceil(low - T(0.5)), T(0)), T(height))) : 0;
      const int row1 = ahead ? int(greater(lesser(std::floor(high - T(0.5)), T(height - 1)), T(-1))) : height - 1;
      first[f] = row0 <= row1 ? row0 / rows : 1;
      last[f] = row0 <= row1 ? row1 / rows : 0;
      for (int s = first[f]; s <= last[f]; ++s) ++offsets[s + 1];
    }
    for (int s = 0; s < strips; ++s) offsets[s + 1] += offsets[s];
    ids.resize(offsets[strips]);
    std::vector<int32_t> next(offsets.begin(), offsets.end() - 1);
    for (int64_t f = 0; f < num_faces; ++f)
      for (int s = first[f]; s <= last[f]; ++s) ids[next[s]++] = static_cast<int32_t>(f);
  }
};

template <class T>
void draw_strip(const Strip<T>& out, const RasterVertex<T>* verts, const int32_t* faces, const int32_t* ids,
                int64_t count) {
  const int64_t begin = int64_t(out.row_begin) * out.width, end = int64_t(out.row_end) * out.width;
  std::fill(out.face_index + begin, out.face_index + end, -1);
  std::fill(out.depth + begin, out.depth + end, T(0));
  std::fill(out.barycentrics + 3 * begin, out.barycentrics + 3 * end, T(0));
  for (int64_t i = 0; i < count; i += kLanes)
    draw_block(out, verts, faces, ids + i, int(std::min<int64_t>(kLanes, count - i)));
}

}  // namespace

template <class T>
void rasterize(const T* verts_image, const int32_t* faces, int32_t* face_index, T* barycentrics, T* depth,
               int64_t batch, int64_t num_verts, int64_t num_faces, int64_t height, int64_t width, bool cull_back,
               bool perspective, int threads) {
  constexpr int64_t kCache = 1 << 19, kSmallImage = 1 << 20;  // bytes
  const int64_t row_bytes = std::max<int64_t>(1, width * (sizeof(int32_t) + 4 * sizeof(T)));
  const bool whole = height * row_bytes <= kSmallImage;
  const int64_t rows = whole ? std::max<int64_t>(height, 1) : std::max<int64_t>(8, kCache / row_bytes);
  const int64_t strips = (height + rows - 1) / rows;
  // Threads share out the images, or the strips of one image after another.
  const bool by_image = batch >= threads || strips == 1;
  parallel_for(by_image ? threads : 1, batch, 1, [&](int64_t first_image, int64_t end_image) {
    RasterVertex<T>* verts = scratch<RasterVertex<T>>(num_verts);
    thread_local StripLists lists;
    for (int64_t b = first_image; b < end_image; ++b) {
      prepare_vertices(verts_image + 3 * num_verts * b, num_verts, perspective, verts);
      lists.fill(verts, faces, num_faces, int(height), int(rows), int(strips));
      const StripLists& list = lists;  // named here: inside the lambda `lists` would be the worker's own
      const int64_t pixels = b * height * width;
      parallel_for(by_image ? 1 : threads, strips, 1, [&](int64_t begin, int64_t end) {
        for (int64_t s = begin; s < end; ++s) {
          const Strip<T> out{face_index + pixels, barycentrics + 3 * pixels, depth + pixels,
                             int(width),          int(height),               int(s * rows),
                             int(std::min((s + 1) * rows, height)), cull_back};
          draw_strip(out, verts, faces, list.ids.data() + list.offsets[s], list.offsets[s + 1] - list.offsets[s]);
        }
      });
    }
  });
}

template <class T>
void rasterize_backward(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                        const T* grad_barycentrics, const T* grad_depth, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, bool perspective, int threads) {
  parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
    RasterVertex<T>* verts = scratch<RasterVertex<T>>(num_verts);
    for (int64_t b = begin; b < end; ++b) {
      prepare_vertices(verts_image + 3 * num_verts * b, num_verts, perspective, verts);
      T* grad = grad_verts + 3 * num_verts * b;
      std::fill(grad, grad + 3 * num_verts, T(0));
      int64_t p = b * height * width;
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x, ++p) {
          if (face_index[p] < 0) continue;
          const int32_t* face = faces + 3 * int64_t(face_index[p]);
          RasterVertex<T> v[3];
          load_corners(verts, face, v);
          Vec3<T> g[3];
          raster_vjp(v, T(x) + T(0.5), T(y) + T(0.5), perspective,
                     grad_barycentrics ? load3(grad_barycentrics, p) : Vec3<T>{}, grad_depth ? grad_depth[p] : T(0), g);
          for (int k = 0; k < 3; ++k) store3(grad, face[k], load3(grad, face[k]) + g[k]);
        }
      }
    }
  });
}

#define PF3D_INSTANTIATE(T)                                                                                            \
  template void rasterize(const T*, const int32_t*, int32_t*, T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t,     \
                          bool, bool, int);                                                                            \
  template void rasterize_backward(const T*, const int32_t*, const int32_t*, const T*, const T*, T*, int64_t, int64_t, \
                                   int64_t, int64_t, bool, int);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cpu
