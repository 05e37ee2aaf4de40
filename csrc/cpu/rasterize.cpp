// csrc/cpu/rasterize.cpp -- images side by side, or parts of one image when there are fewer images than threads.
//
// After the first pass (raster_bins.h) band after band is drawn, so many rows as stay in the cache: pairs of faces and
// pixels side by side, exactly. Of two faces at one pixel the nearer wins, then the lower: neither the order of the
// work nor how it was shared out matters.
#include <algorithm>
#include <atomic>
#include <vector>

#include "core/offsets.h"
#include "core/raster.h"
#include "cpu/kernels.h"
#include "cpu/corner_lanes.h"
#include "cpu/parallel.h"
#include "cpu/raster_bins.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

// What a pixel holds while its band is drawn.
template <class T> struct alignas(4 * sizeof(T)) Pixel {
  T beta[3], depth;
};

// The rows [row_begin, row_end) of one image.
template <class T> struct Band {
  int32_t* face;  // -1 where nothing was drawn
  Pixel<T>* pixels;  // working memory that stays in the cache; undefined where nothing was drawn
  int row_begin, row_end;
};

template <class T> void keep_nearest(const Band<T>& out, int32_t face, int32_t p, const Pixel<T>& pixel) {
  const int32_t held = out.face[p];
  if (held >= 0 && (out.pixels[p].depth < pixel.depth || (out.pixels[p].depth == pixel.depth && held < face))) return;
  out.face[p] = face;
  out.pixels[p] = pixel;
}

template <class T>
void draw_pixel(const Scene<T>& scene, const Band<T>& out, const RasterVertex<T> (&v)[3], int32_t face, int x, int y) {
  RasterSample<T> sample;
  if (!sample_face(v, T(x) + T(0.5), T(y) + T(0.5), scene.cull_back, sample)) return;
  const auto [beta, depth] = sample;
  keep_nearest(out, face, (y - out.row_begin) * scene.width + x, {{beta.x, beta.y, beta.z}, depth});
}

// kFaceLanes faces, each at a pixel x + (y << 16), sampled exactly; they have no corner behind the camera.
template <class T> struct SampleLanes {
  Pixel<T> samples[kFaceLanes];
  int32_t position[kFaceLanes];  // in the band; an image has 2^30 pixels at most
  uint32_t inside, on_edge;

  // corner(k, l) is corner k of the face in lane l.
  template <class Corner> SampleLanes(const uint32_t* pixel, int width, int row_begin, bool cull_back, Corner corner) {
    int32_t in[kFaceLanes], edge[kFaceLanes];
    T values[4][kFaceLanes];
    for (int l = 0; l < kFaceLanes; ++l) {
      const int32_t x = int32_t(pixel[l] & 0xffff), y = int32_t(pixel[l] >> 16);
      const RasterVertex<T> v[3] = {corner(0, l), corner(1, l), corner(2, l)};
      const EdgeValues at = edge_values(v, T(x) + T(0.5), T(y) + T(0.5));
      const RasterSample<T> sample = raster_sample(v, at);
      const double low = lesser(at.e[0], lesser(at.e[1], at.e[2])), high = greater(at.e[0], greater(at.e[1], at.e[2]));
      in[l] = (int32_t(low > 0) | (int32_t(high < 0) & int32_t(!cull_back))) & int32_t(sample.depth > T(0)) &
              int32_t(sample.depth < T(INFINITY));
      edge[l] = int32_t(at.e[0] == 0) | int32_t(at.e[1] == 0) | int32_t(at.e[2] == 0);
      values[0][l] = sample.barycentrics.x;
      values[1][l] = sample.barycentrics.y;
      values[2][l] = sample.barycentrics.z;
      values[3][l] = sample.depth;
      position[l] = (y - row_begin) * width + x;
    }
    interleave_lanes(values, samples[0].beta);
    inside = lane_bits(in);
    on_edge = lane_bits(edge);
  }

  template <class Face, class Corner>
  void draw(const Scene<T>& scene, const Band<T>& out, const uint32_t* pixel, int count, Face face,
            Corner corner) const {
    const uint32_t real = (1u << count) - 1;
    for (uint32_t bits = inside & real; bits; bits &= bits - 1) {
      const int l = lowest_bit(bits);
      keep_nearest(out, face(l), position[l], samples[l]);
    }
    for (uint32_t bits = on_edge & real; bits; bits &= bits - 1) {
      const int l = lowest_bit(bits);
      const RasterVertex<T> v[3] = {corner(0, l), corner(1, l), corner(2, l)};
      draw_pixel(scene, out, v, face(l), int(pixel[l] & 0xffff), int(pixel[l] >> 16));
    }
  }
};

template <class T>
void draw_candidates(const Scene<T>& scene, const Band<T>& out, Candidates& candidates) {
  candidates.pad();
  const int64_t num_pairs = candidates.size();
  for (int64_t begin = 0; begin < num_pairs; begin += kFaceLanes) {
    const int count = int(std::min<int64_t>(kFaceLanes, num_pairs - begin));
    const int32_t* face = candidates.faces() + begin;
    const uint32_t* pixel = candidates.pixels() + begin;
    CornerLanes<T> c;
    load_corner_lanes<true>(scene.verts, [&](int l) { return scene.row(face[l]); }, c);
    const auto corner = [&](int k, int l) { return c.corner(k, l); };
    const SampleLanes<T> samples(pixel, scene.width, out.row_begin, scene.cull_back, corner);
    samples.draw(scene, out, pixel, count, [&](int l) { return face[l]; }, corner);
  }
}

// A face of many pixels, all corners in front of the camera.
template <class T> void draw_large(const Scene<T>& scene, const Band<T>& out, const LargeFace& item) {
  RasterVertex<T> v[3];
  load_corners(scene.verts, scene.row(item.face), v);
  const PixelBox box{item.x0, item.x1, std::max<int>(item.y0, out.row_begin),
                     std::min<int>(item.y1, out.row_end - 1)};
  const T x[3] = {v[0].x, v[1].x, v[2].x}, y[3] = {v[0].y, v[1].y, v[2].y};
  uint32_t waiting[3 * kFaceLanes] = {};  // pixels not drawn yet, then room for more
  int count = 0;
  const auto face = [&](int) { return item.face; };
  const auto corner = [&](int k, int) { return v[k]; };
  const auto draw = [&](int real) {
    const SampleLanes<T> samples(waiting, scene.width, out.row_begin, scene.cull_back, corner);
    samples.draw(scene, out, waiting, real, face, corner);
  };
  const BoxWalk<T> walk(box);
  for (int turn = 0; turn < walk.turns; ++turn) {
    for (int start = 0; start < walk.length; start += kFaceLanes) {
      uint32_t pixel[kFaceLanes];
      const uint32_t hits = walk.hits(x, y, scene.cull_back, turn, start, pixel);
      pack_lanes(hits, pixel, waiting + count);
      count += count_bits(hits);
      if (count < kFaceLanes) continue;
      draw(kFaceLanes);
      count -= kFaceLanes;
      for (int l = 0; l < kFaceLanes; ++l) waiting[l] = waiting[l + kFaceLanes];
    }
  }
  if (count > 0) draw(count);
}

// A face with corners on both sides of the plane of the camera: every pixel of its box by the full test.
template <class T> void draw_clipped(const Scene<T>& scene, const Band<T>& out, int32_t face) {
  RasterVertex<T> v[3];
  load_corners(scene.verts, scene.row(face), v);
  const PixelBox box = pixel_box(v, scene.width, scene.height);
  for (int y = std::max(box.y0, out.row_begin); y <= std::min(box.y1, out.row_end - 1); ++y)
    for (int x = box.x0; x <= box.x1; ++x) draw_pixel(scene, out, v, face, x, y);
}

template <class T> void draw_bin(const Scene<T>& scene, const Band<T>& out, Bin& bin) {
  draw_candidates(scene, out, bin.candidates);
  for (const LargeFace& item : bin.large) draw_large(scene, out, item);
  for (const int32_t face : bin.clipped) draw_clipped(scene, out, face);
}

// One image on `threads` threads.
template <class T>
void rasterize_image(const T* verts_image, const int32_t* faces, int32_t* face_index, T* barycentrics, T* depth,
                     int64_t num_verts, int64_t num_faces, int height, int width, bool cull_back, bool perspective,
                     int threads) {
  // A thread is woken for some 0.1 ms of work at least. Bands fit the cache; several a thread, for balance.
  constexpr int64_t kCache = 1 << 20, kWork = 1 << 15;  // bytes, faces
  const int64_t pixels_in_all = int64_t(height) * width;
  threads = int(std::min<int64_t>(threads, 1 + (num_faces + pixels_in_all / 4) / kWork));
  const int64_t row_bytes = std::max<int64_t>(1, width * int64_t(sizeof(Pixel<T>)));
  const int64_t most_rows = threads > 1 ? std::max(8, height / (3 * threads)) : height;
  int shift = 0;
  while ((int64_t(1) << shift) < most_rows && (int64_t(2) << shift) * row_bytes <= kCache) ++shift;
  const int64_t rows = int64_t(1) << shift;
  const int64_t bands = (height + rows - 1) / rows, parts = threads > 1 ? 4 * threads : 1;

  RasterVertex<T>* verts = scratch<RasterVertex<T>>(num_verts);
  thread_local std::vector<Bin> own_bins;
  if (int64_t(own_bins.size()) < parts * bands) own_bins.resize(parts * bands);
  Bin* bins = own_bins.data();  // named here: inside the lambdas `own_bins` would be the worker's own
  const Scene<T> scene{verts, faces, width, height, shift, cull_back, bands == 1};
  std::atomic<bool> all_ahead{true};
  parallel_for(threads, num_verts, 4096, [&](int64_t begin, int64_t end) {
    if (!prepare_vertices(verts_image + 3 * begin, end - begin, perspective, verts + begin)) all_ahead = false;
  });
  const auto find = all_ahead ? find_candidates<true, T> : find_candidates<false, T>;
  const int64_t blocks = (num_faces + kFaceLanes - 1) / kFaceLanes;
  parallel_for(threads, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      for (int64_t b = 0; b < bands; ++b) bins[part * bands + b].clear();
      for (int64_t block = blocks * part / parts; block < blocks * (part + 1) / parts; ++block)
        find(scene, int32_t(kFaceLanes * block), int(std::min<int64_t>(kFaceLanes, num_faces - kFaceLanes * block)),
             bins + part * bands);
    }
  });
  parallel_for(threads, bands, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t row_begin = b * rows, row_end = std::min<int64_t>(row_begin + rows, height);
      const int64_t pixels = (row_end - row_begin) * width;
      const int64_t first = row_begin * width;
      const Band<T> out{face_index + first, scratch<Pixel<T>>(pixels), int(row_begin), int(row_end)};
      std::fill(out.face, out.face + pixels, -1);
      for (int64_t part = 0; part < parts; ++part) draw_bin(scene, out, bins[part * bands + b]);
      split_pixels(out.face, out.pixels[0].beta, pixels, barycentrics + 3 * first, depth + first);
    }
  });
}

}  // namespace

template <class T>
void rasterize(const T* verts_image, const int32_t* faces, int32_t* face_index, T* barycentrics, T* depth,
               int64_t batch, int64_t num_verts, int64_t num_faces, int64_t height, int64_t width, bool cull_back,
               bool perspective, int threads) {
  const bool by_image = batch >= threads;  // else threads share out one image after another
  parallel_for(by_image ? threads : 1, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t pixels = image_offset(b, height, width);
      rasterize_image(verts_image + verts_offset(b, num_verts, 3), faces, face_index + pixels, barycentrics + 3 * pixels,
                      depth + pixels, num_verts, num_faces, int(height), int(width), cull_back, perspective,
                      by_image ? 1 : threads);
    }
  });
}

#define PF3D_INSTANTIATE(T)                                                                                         \
  template void rasterize(const T*, const int32_t*, int32_t*, T*, T*, int64_t, int64_t, int64_t, int64_t, int64_t, \
                          bool, bool, int);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cpu
