// csrc/cpu/antialias.cpp -- neighbouring pixels of different faces are nearly everywhere on a fine mesh, outlines are
// not. So the edges that can be outlines are marked in the picture first, and the mesh is followed at the marks only.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/antialias.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace pyface3d::cpu {
namespace {

constexpr int kLanes = 16;

// +1 front, -1 back by more than rounding, 0 where the sign is not plain (NaN included).
template <class T>
void find_facings(const OutlineMesh<T>& mesh, int64_t num_faces, int8_t* facings) {
  const T slack = 16 * std::numeric_limits<T>::epsilon();
  for (int64_t start = 0; start < num_faces; start += kLanes) {
    const int count = int(std::min<int64_t>(kLanes, num_faces - start));
    T x[3][kLanes], y[3][kLanes];
    for (int l = 0; l < kLanes; ++l) {
      const int32_t* face = mesh.faces + 3 * (start + std::min(l, count - 1));
      for (int k = 0; k < 3; ++k) {
        x[k][l] = mesh.verts[3 * int64_t(face[k])];
        y[k][l] = mesh.verts[3 * int64_t(face[k]) + 1];
      }
    }
    int8_t found[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      const T p = (y[1][l] - y[0][l]) * (x[2][l] - x[0][l]), q = (x[1][l] - x[0][l]) * (y[2][l] - y[0][l]);
      const T uncertain = slack * (std::abs(p) + std::abs(q));
      found[l] = int8_t(int8_t(p - q > uncertain) - int8_t(q - p > uncertain));
    }
    std::copy(found, found + count, facings + start);
  }
}

// Of a corner, -1 for -1: the quotient rounded down, by the inverse of 3 in 32 binary digits.
inline int64_t face_of(int32_t corner) { return (int64_t(corner) * 0x55555556) >> 32; }

// The picture's pixels, 1 where an outline may cut the line to the pixel at the right or below.
struct Marks {
  uint8_t* marks;
  int64_t width, height;

  // Every pixel whose lines an edge between these ends may cut; a little wider than that, against rounding.
  void add_edge(double ax, double ay, double bx, double by) const {
    constexpr double kSlack = 1e-3;
    const double y_min = std::min(ay, by), y_max = std::max(ay, by);
    const double x_min = std::min(ax, bx), x_max = std::max(ax, bx);
    if (!(x_max - x_min <= 2e100 && y_max - y_min <= 2e100)) return;  // an end that is not drawable
    const int64_t first = pixel(y_min - kSlack, height), last = pixel(y_max + kSlack, height);
    // Row by row where that saves marks and the slope is sure to the slack.
    const bool by_rows = (last - first >= 4 || x_max - x_min >= 4) && y_max - y_min > kSlack && x_max - x_min < 1e9;
    const double slope = by_rows ? (bx - ax) / (by - ay) : 0;
    for (int64_t y = std::max<int64_t>(first, 0); y <= std::min(last, height - 1); ++y) {
      double from = x_min, to = x_max;
      if (by_rows) {  // the lines of this row lie in [y + 0.5, y + 1.5]
        const double x0 = ax + slope * (std::clamp(y + 0.5, y_min, y_max) - ay);
        const double x1 = ax + slope * (std::clamp(y + 1.5, y_min, y_max) - ay);
        from = std::max(x_min, std::min(x0, x1) - kSlack);
        to = std::min(x_max, std::max(x0, x1) + kSlack);
      }
      const int64_t begin = std::max<int64_t>(pixel(from - kSlack, width), 0);
      const int64_t end = std::min(pixel(to + kSlack, width), width - 1);
      if (begin <= end) std::fill(marks + y * width + begin, marks + y * width + end + 1, uint8_t(1));
    }
  }

  // The last pixel whose middle is not beyond `at`, within one of the frame.
  static int64_t pixel(double at, int64_t size) {
    return static_cast<int64_t>(std::floor(std::clamp(at - 0.5, -1.0, double(size))));
  }
};

// A superset of all edges that find_outline can name: at a border, or between faces not plainly of one side. facings[-1]
// stands for the face that is not there.
template <class T>
void mark_outlines(const OutlineMesh<T>& mesh, int8_t* facings, int64_t num_faces, const Marks& marks) {
  facings[-1] = 0;
  for (int64_t f = 0; f < num_faces; ++f) {
    const int32_t* across = mesh.opposite + 3 * f;
    const int8_t facing = facings[f];
    int8_t other[3];
    for (int k = 0; k < 3; ++k) other[k] = facings[face_of(across[k])];
    if (facing != 0 && other[0] == facing && other[1] == facing && other[2] == facing) continue;
    for (int k = 0; k < 3; ++k) {
      if (facing != 0 && other[k] == facing) continue;
      const T* a = mesh.verts + 3 * int64_t(mesh.faces[3 * f + (k + 1) % 3]);
      const T* b = mesh.verts + 3 * int64_t(mesh.faces[3 * f + (k + 2) % 3]);
      marks.add_edge(a[0], a[1], b[0], b[1]);
    }
  }
}

template <class T>
void follow_marks(const OutlineMesh<T>& mesh, const uint8_t* marks, const int32_t* face_index, const T* depth,
                  int32_t* outlines, int64_t height, int64_t width) {
  int32_t* below = outlines + height * width;
  std::fill(outlines, outlines + 2 * height * width, 0);
  for (int64_t y = 0, p = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x, ++p) {
      if (!marks[p]) continue;
      if (x + 1 < width)
        outlines[p] = outline_between(mesh, int(x), int(y), true, face_index[p], face_index[p + 1], depth[p],
                                      depth[p + 1]);
      if (y + 1 < height)
        below[p] = outline_between(mesh, int(x), int(y), false, face_index[p], face_index[p + width], depth[p],
                                   depth[p + width]);
    }
  }
}

// body(x) for the pixels of row y with an outline on any of their four sides, other(begin, end) for runs without.
template <class Body, class Other>
void for_row(const int32_t* outlines, int64_t height, int64_t width, int64_t y, const Body& body, const Other& other) {
  const int32_t* right = outlines + y * width;
  const int32_t* below = outlines + (height + y) * width;
  const int32_t* above = y > 0 ? below - width : below;
  int64_t begin = 0;
  for (int64_t x = 0; x < width; ++x) {
    if ((right[x] | below[x] | above[x] | right[x > 0 ? x - 1 : 0]) == 0) continue;
    if (begin < x) other(begin, x);
    body(x);
    begin = x + 1;
  }
  if (begin < width) other(begin, width);
}

}  // namespace

template <class T>
void antialias(const T* image, const T* verts_image, const T* depth, const int32_t* faces, const int32_t* opposite,
               const int32_t* face_index, T* mixed, int32_t* outlines, int64_t batch, int64_t num_verts,
               int64_t num_faces, int64_t height, int64_t width, int64_t channels, int threads) {
  const int64_t pixels = height * width;
  parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
    int8_t* facings = scratch<int8_t>(num_faces + 1) + 1;
    uint8_t* marks = scratch<uint8_t>(pixels);
    for (int64_t b = begin; b < end; ++b) {
      const OutlineMesh<T> mesh{verts_image + 3 * num_verts * b, faces, opposite};
      find_facings(mesh, num_faces, facings);
      std::fill(marks, marks + pixels, uint8_t(0));
      mark_outlines(mesh, facings, num_faces, Marks{marks, width, height});
      follow_marks(mesh, marks, face_index + pixels * b, depth + pixels * b, outlines + 2 * pixels * b, height, width);
    }
  });
  const int64_t row = width * channels;
  parallel_for(threads, batch * height, std::max<int64_t>(1, 65536 / (row + 1)), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t b = r / height, y = r % height;
      const OutlinePicture<T> picture{{verts_image + 3 * num_verts * b, faces, opposite}, outlines + 2 * pixels * b,
                                      height, width};
      const T* in = image + r * row;
      T* out = mixed + r * row;
      for_row(picture.outlines, height, width, y,
              [&](int64_t x) {
                const PixelShares<T> shares = pixel_shares(picture, x, y);
                for (int64_t c = 0; c < channels; ++c)
                  out[x * channels + c] = mix_pixel(in + x * channels + c, channels, row, shares);
              },
              [&](int64_t first, int64_t last) {
                std::copy(in + first * channels, in + last * channels, out + first * channels);
              });
    }
  });
}

// Either output may be null. The gradient of the vertices is added pixel by pixel, one image on one thread.
template <class T>
void antialias_backward(const T* image, const T* verts_image, const int32_t* faces, const int32_t* opposite,
                        const int32_t* outlines, const T* grad_mixed, T* grad_image, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, int64_t channels, int threads) {
  const int64_t row = width * channels, pixels = height * width;
  const auto picture_of = [&](int64_t b) {
    return OutlinePicture<T>{{verts_image + 3 * num_verts * b, faces, opposite}, outlines + 2 * pixels * b, height,
                             width};
  };
  if (grad_image) {
    parallel_for(threads, batch * height, std::max<int64_t>(1, 65536 / (row + 1)), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t y = r % height;
        const OutlinePicture<T> picture = picture_of(r / height);
        const T* in = grad_mixed + r * row;
        T* out = grad_image + r * row;
        for_row(picture.outlines, height, width, y,
                [&](int64_t x) {
                  antialias_vjp_image(picture, x, y, in + x * channels, out + x * channels, channels);
                },
                [&](int64_t first, int64_t last) {
                  std::copy(in + first * channels, in + last * channels, out + first * channels);
                });
      }
    });
  }
  if (!grad_verts) return;
  parallel_for(threads, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const OutlinePicture<T> picture = picture_of(b);
      T* grad = grad_verts + 3 * num_verts * b;
      std::fill(grad, grad + 3 * num_verts, T(0));
      for (int plane = 0; plane < 2; ++plane) {
        const int32_t* codes = picture.outlines + plane * pixels;
        for (int64_t p = 0; p < pixels; ++p) {
          if (codes[p] == 0) continue;
          const int64_t at = (b * pixels + p) * channels;
          const EdgeGradient<T> g = antialias_vjp_edge(picture, p % width, p / width, plane == 0, image + at,
                                                       grad_mixed + at, channels);
          grad[3 * int64_t(g.a)] += g.grad_a.x;
          grad[3 * int64_t(g.a) + 1] += g.grad_a.y;
          grad[3 * int64_t(g.b)] += g.grad_b.x;
          grad[3 * int64_t(g.b) + 1] += g.grad_b.y;
        }
      }
    }
  });
}

#define PF3D_INSTANTIATE(T)                                                                                            \
  template void antialias(const T*, const T*, const T*, const int32_t*, const int32_t*, const int32_t*, T*, int32_t*,  \
                          int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int);                                  \
  template void antialias_backward(const T*, const T*, const int32_t*, const int32_t*, const int32_t*, const T*, T*,   \
                                   T*, int64_t, int64_t, int64_t, int64_t, int64_t, int);
PF3D_INSTANTIATE(float)
PF3D_INSTANTIATE(double)

}  // namespace pyface3d::cpu
