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

// The picture's pixels: kRight where an outline may cut the line to the pixel at the right, kBelow likewise.
struct Marks {
  static constexpr uint8_t kRight = 1, kBelow = 2;
  uint8_t* marks;
  int64_t width, height;

  // The lines that an edge between these ends may cut, of the family that answers for it (is_across).
  void add_edge(double ax, double ay, double bx, double by) const {
    if (std::abs(by - ay) >= std::abs(bx - ax))
      add(ay, ax, by, bx, height, width, width, 1, kRight);
    else if (std::abs(by - ay) < std::abs(bx - ax))
      add(ax, ay, bx, by, width, height, 1, width, kBelow);  // NaN goes neither way
  }

 private:
  // Along an edge from (a, a_across) to (b, b_across), no flatter than 45 degrees: for every pixel whose middle lies
  // between its ends, the one in the other direction before the crossing, or the two around it if it is near a middle.
  void add(double a, double a_across, double b, double b_across, int64_t size, int64_t size_across, int64_t step,
           int64_t step_across, uint8_t mark) const {
    constexpr double kSlack = 1e-3, kExact = 1e9;  // pixels; beyond those the crossing is not sure to the slack
    const double low = std::min(a, b), high = std::max(a, b);
    const int64_t first = before(low - kSlack, size) + 1, last = std::min(before(high + kSlack, size), size - 1);
    if (first > last) return;
    const double slope = b > a || b < a ? (b_across - a_across) / (b - a) : 0;
    const bool exact = std::abs(low) + std::abs(high) + std::abs(a_across) + std::abs(b_across) < kExact;
    for (int64_t i = std::max<int64_t>(first, 0); i <= last; ++i) {
      const double crossing = a_across + slope * (double(i) + 0.5 - a);
      const int64_t begin = exact ? std::max<int64_t>(before(crossing - kSlack, size_across), 0) : 0;
      const int64_t end = exact ? std::min(before(crossing + kSlack, size_across), size_across - 1) : size_across - 1;
      for (int64_t k = begin; k <= end; ++k) marks[i * step + k * step_across] |= mark;
    }
  }

  // The last pixel whose middle is not beyond `at`, from -1 to `size`.
  static int64_t before(double at, int64_t size) {
    return static_cast<int64_t>(std::clamp(at + 0.5, 0.0, double(size) + 1)) - 1;
  }
};

// A superset of all edges that find_outline can name: at a border, or between faces not plainly of one side.
// facings[-1] stands for the face that is not there.
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
      const bool seen = across[k] >= 0 && across[k] < 3 * f;  // from its other side
      if (seen || (facing != 0 && other[k] == facing)) continue;
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
      if (marks[p] == 0) continue;
      if ((marks[p] & Marks::kRight) && x + 1 < width)
        outlines[p] = outline_between(mesh, int(x), int(y), true, face_index[p], face_index[p + 1], depth[p],
                                      depth[p + 1]);
      if ((marks[p] & Marks::kBelow) && y + 1 < height)
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
    while (x > 0 && x + kLanes <= width) {  // sixteen at a time where there is nothing
      int32_t any = 0;
      for (int l = 0; l < kLanes; ++l) any |= right[x + l] | below[x + l] | above[x + l] | right[x + l - 1];
      if (any != 0) break;
      x += kLanes;
    }
    if (x == width) break;
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
