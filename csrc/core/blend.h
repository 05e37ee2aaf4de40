// csrc/core/blend.h -- gradient-domain blending of maps: which gradient an edge takes, the system that follows, and the
// derivatives. Perez, Gangnet & Blake 2003, "Poisson image editing"; the pull to the target makes it a screened Poisson
// equation (Bhat et al. 2008).
//
// Minimised over the solved pixels: sum over edges (p, q) of (u_p - u_q - e_pq)^2 + mu * sum over pixels outside the
// mask of (u_p - t_p)^2. With x = A^-1 (div e + pinned values + mu t) and lambda = A^-1 dL/du:
//   dL/de_pq = lambda_p - lambda_q,  dL/dt_p += mu lambda_p,  dL/dt_q += lambda_p for a pinned neighbour q.
// All in double, whatever the maps are.
#pragma once
#include "core/poisson.h"

namespace pyface3d {

// A value that a sum of a few can be made of; what is not finite counts as not there.
PF3D_HD bool usable(double value) { return fabs(value) <= 1e300; }

enum PixelRole : uint8_t {
  kPinned = 1,  // not solved for, and its value binds the solved pixels beside it
  kSolved = 2,
  kInMask = 4,
  kEdited = 8,  // edges here may differ from those of the target: in the mask or its feather, or target not usable
  kPulled = 16  // the term mu (u - t)^2 applies
};

// Arrays of one image; pixel p = y * width + x.
template <class T> struct BlendImage {
  const T* target;       // (H, W)
  const T* donor;        // (D, H, W)
  const bool* valid;     // (D, H, W) or null: all
  const T* scale;        // (D) or null: 1
  const bool* domain;    // (H, W) or null: all
  const int32_t* label;  // (H, W): 0 target, k donor k; in the feather the donor of the nearest pixel of the mask
  const double* weight;  // (H, W) or null: 1 in the mask, less in the feather, 0 outside; null: no feather
  int64_t height, width, donors;
  bool free_border;
  double mu;
};

// Image b of the batch that begins with `first`.
template <class T> PF3D_HD BlendImage<T> image_of_batch(BlendImage<T> first, int64_t b) {
  const int64_t pixels = first.height * first.width;
  first.target += b * pixels;
  first.donor += b * first.donors * pixels;
  if (first.valid) first.valid += b * first.donors * pixels;
  if (first.scale) first.scale += b * first.donors;
  if (first.domain) first.domain += b * pixels;
  first.label += b * pixels;
  if (first.weight) first.weight += b * pixels;
  return first;
}

template <class T> PF3D_HD double weight_at(const BlendImage<T>& image, int64_t p) {
  return image.weight ? image.weight[p] : image.label[p] != 0 ? 1.0 : 0.0;
}

template <class T> PF3D_HD uint8_t pixel_role(const BlendImage<T>& image, int64_t y, int64_t x) {
  const int64_t p = y * image.width + x;
  const double weight = weight_at(image, p);
  const bool known = usable(image.target[p]);
  const bool inside = y > 0 && x > 0 && y + 1 < image.height && x + 1 < image.width;
  uint8_t role = 0;
  if (weight == 1.0) role |= kInMask;
  if (weight > 0.0 || !known) role |= kEdited;
  if ((!image.domain || image.domain[p]) && (image.free_border || inside)) {
    role |= kSolved;
    if (image.mu > 0 && weight < 1.0 && known) role |= kPulled;
  } else if (!image.free_border && known) {
    role |= kPinned;
  }
  return role;
}

// Whether the edge between two neighbours is part of the system.
PF3D_HD bool edge_counts(uint8_t p, uint8_t q) {
  return ((p & kSolved) && (q & (kSolved | kPinned))) || ((p & kPinned) && (q & kSolved));
}

// Neighbour k of 4 in the padded grid and in the image.
PF3D_HD int64_t neighbour(int k, int64_t stride) { return k == 0 ? 1 : k == 1 ? -1 : k == 2 ? stride : -stride; }

PF3D_HD int pins_at(const uint8_t* role, int64_t i, int64_t stride) {
  static_assert(kPinned == 1, "summed as a number");
  return ((role[i + 1] & kPinned) + (role[i - 1] & kPinned)) +
         ((role[i + stride] & kPinned) + (role[i - stride] & kPinned));
}

// Whether something gives a solved pixel's component a value.
PF3D_HD bool is_tied(const uint8_t* role, int64_t i, int64_t stride) {
  return (role[i] & kPulled) || pins_at(role, i, stride) > 0;
}

// Whether the right-hand side for the change can differ from 0.
PF3D_HD bool may_change(const uint8_t* role, int64_t i, int64_t stride) {
  return (role[i] & kSolved) &&
         ((role[i] | role[i + 1] | role[i - 1] | role[i + stride] | role[i - stride]) & kEdited);
}

// Row i of the system on the finest grid: links, pins in the plane x, mass in `mass` and as float in the plane y.
PF3D_HD void make_row(const uint8_t* role, const PoissonLevel& level, int64_t i, double mu, double& mass) {
  const int64_t stride = level.grid.stride();
  const int solved = (role[i] & kSolved) / kSolved;
  level.right[i] = float(solved & ((role[i + 1] & kSolved) / kSolved));
  level.down[i] = float(solved & ((role[i + stride] & kSolved) / kSolved));
  level.x[i] = float(solved * pins_at(role, i, stride));
  mass = role[i] & kPulled ? mu : 0.0;
  level.y[i] = float(mass);
}

template <class T> PF3D_HD double donor_scale(const BlendImage<T>& image, int32_t label) {
  return image.scale ? double(image.scale[label - 1]) : 1.0;
}

// Scaled value of a label's donor at p; false where it has none.
template <class T> PF3D_HD bool donor_value(const BlendImage<T>& image, int32_t label, int64_t p, double& value) {
  if (label < 1 || label > image.donors) return false;
  const int64_t i = (label - 1) * (image.height * image.width) + p;
  if (image.valid && !image.valid[i]) return false;
  value = donor_scale(image, label) * double(image.donor[i]);
  return usable(value);
}

// e_pq = target (t_p - t_q) + at_p (difference of p's donor) + at_q (difference of q's donor): shares of an edge.
struct EdgeMix {
  double target, at_p, at_q;
};

// An edge takes its gradient from the donor as soon as one of its ends is in the mask, because the target there is what
// is to be replaced; between two donors, from both alike. In the feather (weights below 1) by the larger weight of its
// ends. Where a donor is not valid at both ends: gradient 0 (membrane) in the mask, the target's in the feather.
template <class T> PF3D_HD double edge_gradient(const BlendImage<T>& image, int64_t p, int64_t q, EdgeMix& mix) {
  const double wp = weight_at(image, p), wq = weight_at(image, q), most = wp > wq ? wp : wq;
  const double step = double(image.target[p]) - double(image.target[q]);
  const bool keeps_target = most < 1 && usable(step);
  mix = {keeps_target ? 1.0 : 0.0, 0.0, 0.0};
  double gradient = keeps_target ? step : 0.0;
  if (!(most > 0)) return gradient;
  const int32_t labels[2] = {image.label[p], image.label[q]};
  double shares[2] = {most * (wp / (wp + wq)), most * (wq / (wp + wq))};
  if (wp > 0 && wq > 0 && labels[0] == labels[1]) shares[0] = most, shares[1] = 0;
  for (int k = 0; k < 2; ++k) {
    double at_p, at_q;
    if (!(shares[k] > 0)) continue;
    if (!donor_value(image, labels[k], p, at_p) || !donor_value(image, labels[k], q, at_q)) continue;
    (k == 0 ? mix.at_p : mix.at_q) = shares[k];
    if (keeps_target) mix.target -= shares[k];
    gradient += shares[k] * ((at_p - at_q) - (keeps_target ? step : 0.0));  // exact where the gradients are the same
  }
  return gradient;
}

// The first guess in the mask is the donor shifted to the target, or where there is no donor a constant: means over the
// edges across the mask's outline. So the solver starts near the end, and a donor with another zero costs nothing.
struct OutlineSums {
  double offset = 0, offsets = 0, value = 0, values = 0;
  PF3D_HD double mean_offset() const { return offsets > 0 ? offset / offsets : 0.0; }
  PF3D_HD double mean_value() const { return values > 0 ? value / values : 0.0; }
};

// Adds the edges across the outline at a solved pixel in the mask.
template <class T>
PF3D_HD void add_outline(const BlendImage<T>& image, Grid grid, const uint8_t* role, int64_t y, int64_t x,
                         OutlineSums& sums) {
  const int64_t i = grid.at(y, x), p = y * image.width + x;
  for (int k = 0; k < 4; ++k) {
    const uint8_t other = role[i + neighbour(k, grid.stride())];
    if (!edge_counts(role[i], other) || (other & kInMask)) continue;
    const int64_t q = p + neighbour(k, image.width);
    const double target = image.target[q];
    if (!usable(target)) continue;
    double donor;
    sums.value += target;
    sums.values += 1;
    if (donor_value(image, image.label[p], q, donor)) {
      sums.offset += target - donor;
      sums.offsets += 1;
    }
  }
}

// The value a pinned pixel has, and where the solver starts at the others.
template <class T>
PF3D_HD double first_guess(const BlendImage<T>& image, uint8_t role, int64_t p, const OutlineSums& sums) {
  const double target = image.target[p];
  if (!(role & kSolved)) return usable(target) ? target : 0.0;
  if (!(role & kInMask)) return usable(target) ? target : sums.mean_value();
  double donor;
  return donor_value(image, image.label[p], p, donor) ? donor + sums.mean_offset() : sums.mean_value();
}

// A component that nothing ties to a value has the mean of its target, taken over the pixels where that is finite, or 0
// when there are none: the share of a pixel in that mean.
PF3D_HD double mean_count(double pixels, double known_pixels) { return known_pixels > 0 ? known_pixels : pixels; }
PF3D_HD double loose_share(double pixels, double known_pixels, bool known) {
  return known || !(known_pixels > 0) ? 1.0 / mean_count(pixels, known_pixels) : 0.0;
}

// Right-hand side at a solved pixel for the change from the first guess: sum of e_pq - (g_p - g_q), and the pull.
template <class T>
PF3D_HD double change_wanted(const BlendImage<T>& image, Grid grid, const uint8_t* role, const double* guess, int64_t y,
                             int64_t x) {
  const int64_t i = grid.at(y, x), p = y * image.width + x;
  double sum = 0;
  for (int k = 0; k < 4; ++k) {
    const int64_t j = i + neighbour(k, grid.stride());
    if (!edge_counts(role[i], role[j])) continue;
    EdgeMix mix;
    sum += edge_gradient(image, p, p + neighbour(k, image.width), mix) - (guess[i] - guess[j]);
  }
  if (role[i] & kPulled) sum += image.mu * (double(image.target[p]) - guess[i]);
  return sum;
}

// Gradients at pixel p out of lambda (0 where nothing is solved): returns dL/dtarget and adds to dL/ddonor, (D, H, W).
template <class T>
PF3D_HD double blend_vjp_at(const BlendImage<T>& image, Grid grid, const uint8_t* role, const double* lambda, int64_t y,
                            int64_t x, T* grad_donor) {
  const int64_t i = grid.at(y, x), p = y * image.width + x, pixels = image.height * image.width;
  double grad = role[i] & kPulled ? image.mu * lambda[i] : 0.0;
  for (int k = 0; k < 4; ++k) {
    const int64_t j = i + neighbour(k, grid.stride());
    if (!edge_counts(role[i], role[j])) continue;
    const int64_t q = p + neighbour(k, image.width);
    const double across = lambda[i] - lambda[j];
    EdgeMix mix{1.0, 0.0, 0.0};
    if ((role[i] | role[j]) & kEdited) edge_gradient(image, p, q, mix);
    grad += mix.target * across;
    if (role[i] & kPinned) grad += lambda[j];
    if (grad_donor && mix.at_p > 0)
      grad_donor[(image.label[p] - 1) * pixels + p] += T(mix.at_p * donor_scale(image, image.label[p]) * across);
    if (grad_donor && mix.at_q > 0)
      grad_donor[(image.label[q] - 1) * pixels + p] += T(mix.at_q * donor_scale(image, image.label[q]) * across);
  }
  return grad;
}

// Feather: distance to the mask within `reach` pixels, in two steps (columns, then rows); the nearest pixel of the mask
// gives its label, of equally near ones the one met first. The weight falls linearly and is 0 from reach + 1 on.
PF3D_HD int32_t column_distance(const int32_t* label, int64_t height, int64_t width, int64_t y, int64_t x,
                                int64_t reach, int32_t& nearest) {
  for (int64_t d = 0; d <= reach; ++d)
    for (int side = 0; side < (d ? 2 : 1); ++side) {
      const int64_t at = side ? y + d : y - d;
      if (at < 0 || at >= height || label[at * width + x] == 0) continue;
      nearest = label[at * width + x];
      return int32_t(d);
    }
  nearest = 0;
  return -1;
}
PF3D_HD double feather_weight(const int32_t* distance, const int32_t* nearest, int64_t width, int64_t y, int64_t x,
                             int64_t reach, int32_t& label) {
  int64_t best = (reach + 1) * (reach + 1);
  label = 0;
  for (int64_t d = 0; d <= reach; ++d)
    for (int side = 0; side < (d ? 2 : 1); ++side) {
      const int64_t at = side ? x + d : x - d;
      if (at < 0 || at >= width || distance[y * width + at] < 0) continue;
      const int64_t square = d * d + int64_t(distance[y * width + at]) * distance[y * width + at];
      if (square < best) best = square, label = nearest[y * width + at];
    }
  if (label == 0) return 0.0;
  return 1.0 - sqrt(double(best)) / double(reach + 1);
}

}  // namespace pyface3d
