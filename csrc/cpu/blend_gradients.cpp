// csrc/cpu/blend_gradients.cpp -- images in parallel, or the rows of a single one.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/blend.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/poisson.h"

namespace pyface3d::cpu {
namespace {

constexpr int kMostIterations = 20000;  // a winding corridor of one pixel needs many; ordinary domains about ten

// What both directions share: the pixels' roles, the system, and the components that nothing ties to a value.
template <class T> class Blend {
  // A component that nothing ties to a value: no pinned neighbour, no pull.
  struct Loose {
    double pixels = 0, known = 0;  // known: with a target that is finite
  };

 public:
  Blend(const BlendImage<T>& given, int64_t feather, int threads)
      : image_(given), solver_(given.height, given.width, threads), grid_(solver_.grid()) {
    if (feather > 0) make_feather(feather);
    role_.assign(grid_.size(), 0);
    edited_row_.assign(grid_.height + 2, 0);
    bool may_hang_free = image_.free_border;
    for (int64_t y = 0; y < grid_.height; ++y)
      for (int64_t x = 0; x < grid_.width; ++x) {
        const uint8_t role = role_[grid_.at(y, x)] = pixel_role(image_, y, x);
        if (role & kEdited) edited_row_[y] = edited_row_[y + 1] = edited_row_[y + 2] = 1;  // the rows beside it too
        may_hang_free |= !(role & (kSolved | kPinned));
      }
    make_links();
    if (may_hang_free) find_loose_components();
    solver_.set_up();
  }

  int blend(T* blended, double tolerance) {
    std::vector<double> guess(grid_.size());
    make_guess(guess.data());
    solver_.for_rows(grid_, [&](int64_t y0, int64_t y1) {
      const int64_t stride = grid_.stride();
      for (int64_t y = y0; y < y1; ++y) {
        double* rhs = solver_.rhs() + grid_.at(y, 0);
        std::fill(rhs, rhs + grid_.width, 0.0);
        if (!edited_row_[y + 1]) continue;  // the target's gradients everywhere: nothing changes
        for (int64_t x = 0; x < grid_.width; ++x)
          if (may_change(role_.data(), grid_.at(y, x), stride))
            rhs[x] = change_wanted(image_, grid_, role_.data(), guess.data(), y, x);
      }
    });
    const int iterations = solver_.solve(tolerance, kMostIterations);
    const double* change = solver_.solution();
    std::vector<double> shift(loose_.size());
    each_loose([&](int64_t c, int64_t p, int64_t i) {
      const double share = mean_share(c, p);
      if (share > 0) shift[c] += share * ((known(p) ? double(image_.target[p]) : 0.0) - (guess[i] + change[i]));
    });
    for (int64_t y = 0; y < grid_.height; ++y)
      for (int64_t x = 0; x < grid_.width; ++x) {
        const int64_t p = y * grid_.width + x, i = grid_.at(y, x);
        blended[p] = role_[i] & kSolved ? T(guess[i] + change[i]) : image_.target[p];
      }
    each_loose([&](int64_t c, int64_t p, int64_t i) { blended[p] = T(guess[i] + change[i] + shift[c]); });
    return iterations;
  }

  void gradients(const T* grad_blended, T* grad_target, T* grad_donor, double tolerance) {
    double* rhs = solver_.rhs();
    for (int64_t y = 0; y < grid_.height; ++y)
      for (int64_t x = 0; x < grid_.width; ++x) {
        const int64_t i = grid_.at(y, x);
        rhs[i] = role_[i] & kSolved ? double(grad_blended[y * grid_.width + x]) : 0.0;
      }
    // The mean of a loose component is that of its target: its gradient goes there, not through the system.
    std::vector<double> sum(loose_.size());
    each_loose([&](int64_t c, int64_t, int64_t i) { sum[c] += rhs[i]; });
    each_loose([&](int64_t c, int64_t p, int64_t i) { rhs[i] -= mean_share(c, p) * sum[c]; });
    solver_.solve(tolerance, kMostIterations);
    std::vector<double> lambda(grid_.size(), 0.0);
    for (int64_t y = 0; y < grid_.height; ++y)
      for (int64_t i = grid_.at(y, 0); i < grid_.at(y, grid_.width); ++i)
        lambda[i] = role_[i] & kSolved ? solver_.solution()[i] : 0.0;
    if (grad_donor) std::fill(grad_donor, grad_donor + image_.donors * grid_.height * grid_.width, T(0));
    solver_.for_rows(grid_, [&](int64_t y0, int64_t y1) {
      for (int64_t y = y0; y < y1; ++y)
        for (int64_t x = 0; x < grid_.width; ++x) {
          const int64_t p = y * grid_.width + x;
          const double grad = blend_vjp_at(image_, grid_, role_.data(), lambda.data(), y, x, grad_donor);
          grad_target[p] = T(role_[grid_.at(y, x)] & kSolved ? grad : grad + double(grad_blended[p]));
        }
    });
    each_loose([&](int64_t c, int64_t p, int64_t) {
      if (known(p)) grad_target[p] = T(double(grad_target[p]) + mean_share(c, p) * sum[c]);
    });
  }

 private:
  void make_feather(int64_t reach) {
    const int64_t width = grid_.width, pixels = grid_.height * width;
    feather_label_.resize(pixels), feather_distance_.resize(pixels), feather_nearest_.resize(pixels);
    feather_weight_.resize(pixels);
    solver_.for_rows(grid_, [&](int64_t y0, int64_t y1) {
      for (int64_t y = y0; y < y1; ++y)
        for (int64_t x = 0, p = y * width; x < width; ++x, ++p)
          feather_distance_[p] = column_distance(image_.label, grid_.height, width, y, x, reach, feather_nearest_[p]);
    });
    solver_.for_rows(grid_, [&](int64_t y0, int64_t y1) {
      for (int64_t y = y0; y < y1; ++y)
        for (int64_t x = 0, p = y * width; x < width; ++x, ++p)
          feather_weight_[p] =
              feather_weight(feather_distance_.data(), feather_nearest_.data(), width, y, x, reach, feather_label_[p]);
    });
    image_.label = feather_label_.data();
    image_.weight = feather_weight_.data();
  }

  void make_links() {
    solver_.for_rows(grid_, [&](int64_t y0, int64_t y1) {
      const PoissonLevel& finest = solver_.finest();
      for (int64_t y = y0; y < y1; ++y)
        for (int64_t i = grid_.at(y, 0), end = i + grid_.width; i < end; ++i)
          make_row(role_.data(), finest, i, image_.mu, solver_.mass()[i]);
    });
  }

  // Union by the lower index; what remains in component_ are the numbers of the loose components, -1 elsewhere.
  void find_loose_components() {
    const int64_t width = grid_.width, pixels = grid_.height * width;
    component_.assign(pixels, -1);
    const auto root_of = [&](int64_t p) {
      while (component_[p] != p) p = component_[p] = component_[component_[p]];
      return p;
    };
    const auto join = [&](int64_t p, int64_t q) {
      p = root_of(p), q = root_of(q);
      component_[std::max(p, q)] = std::min(p, q);
    };
    for (int64_t y = 0; y < grid_.height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const int64_t p = y * width + x, i = grid_.at(y, x);
        if (!(role_[i] & kSolved)) continue;
        component_[p] = p;
        if (role_[i - 1] & kSolved) join(p, p - 1);
        if (role_[i - grid_.stride()] & kSolved) join(p, p - width);
      }
    std::vector<char> tied(pixels, 0);
    for (int64_t p = 0; p < pixels; ++p) {
      const int64_t i = grid_.at(p / width, p % width);
      if (component_[p] >= 0 && is_tied(role_.data(), i, grid_.stride())) tied[root_of(p)] = 1;
    }
    std::vector<int64_t> number(pixels, -1);
    for (int64_t p = 0; p < pixels; ++p) {
      if (component_[p] < 0) continue;
      const int64_t root = root_of(p);  // at or before p, so it is still its own root or has just been numbered
      if (tied[root]) continue;
      if (number[root] < 0) {
        number[root] = int64_t(loose_.size());
        loose_.push_back({});
      }
      loose_[number[root]].pixels += 1;
      loose_[number[root]].known += known(p);
    }
    for (int64_t p = 0; p < pixels; ++p)
      if (component_[p] >= 0) number[p] = number[root_of(p)];
    component_ = std::move(number);
  }

  // body(number of the component, pixel, index in the grid) for the pixels of loose components, in order
  template <class Body> void each_loose(const Body& body) const {
    if (loose_.empty()) return;
    for (int64_t y = 0; y < grid_.height; ++y)
      for (int64_t x = 0; x < grid_.width; ++x) {
        const int64_t p = y * grid_.width + x;
        if (component_[p] >= 0) body(component_[p], p, grid_.at(y, x));
      }
  }

  bool known(int64_t p) const { return usable(image_.target[p]); }

  // Share of a pixel in the mean that fixes its component's constant.
  double mean_share(int64_t c, int64_t p) const { return loose_share(loose_[c].pixels, loose_[c].known, known(p)); }

  void make_guess(double* guess) const {
    OutlineSums sums;
    for (int64_t y = 0; y < grid_.height; ++y) {
      if (!edited_row_[y + 1]) continue;
      for (int64_t x = 0; x < grid_.width; ++x) {
        const int64_t i = grid_.at(y, x);
        if ((role_[i] & (kSolved | kInMask)) == (kSolved | kInMask))
          add_outline(image_, grid_, role_.data(), y, x, sums);
      }
    }
    solver_.for_rows(grid_, [&](int64_t y0, int64_t y1) {
      for (int64_t y = y0; y < y1; ++y)
        for (int64_t x = 0; x < grid_.width; ++x) {
          const int64_t i = grid_.at(y, x), p = y * grid_.width + x;
          guess[i] = role_[i] & kEdited ? first_guess(image_, role_[i], p, sums) : double(image_.target[p]);
        }
    });
  }

  BlendImage<T> image_;
  PoissonSolver solver_;
  Grid grid_;
  std::vector<uint8_t> role_;
  std::vector<char> edited_row_;    // rows with an edited pixel in them or beside them; row y at y + 1
  std::vector<int64_t> component_;  // number of the loose component a pixel is in, or -1
  std::vector<Loose> loose_;
  std::vector<int32_t> feather_label_, feather_distance_, feather_nearest_;
  std::vector<double> feather_weight_;
};

template <class T, class Body>
void each_image(const BlendImage<T>& first, int64_t batch, int threads, const Body& body) {
  if (first.height * first.width == 0) return;
  parallel_for(batch > 1 ? threads : 1, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) body(image_of_batch(first, b), b, batch > 1 ? 1 : threads);
  });
}

}  // namespace

template <class T>
void blend_gradients(const T* target, const T* donor, const int32_t* labels, const bool* donor_valid, const T* scale,
                     const bool* domain, T* blended, int32_t* iterations, void*, int64_t batch, int64_t donors,
                     int64_t height, int64_t width, bool free_border, double data_weight, int64_t feather,
                     double tolerance, int threads) {
  const BlendImage<T> first{target, donor,  donor_valid, scale,       domain,     labels, nullptr,
                            height, width, donors,      free_border, data_weight};
  each_image(first, batch, threads, [&](const BlendImage<T>& image, int64_t b, int threads_of_image) {
    iterations[b] = Blend<T>(image, feather, threads_of_image).blend(blended + b * height * width, tolerance);
  });
}

template <class T>
void blend_gradients_backward(const T* target, const T* donor, const int32_t* labels, const bool* donor_valid,
                              const T* scale, const bool* domain, const T* grad_blended, T* grad_target,
                              T* grad_donor, void*, int64_t batch, int64_t donors, int64_t height, int64_t width,
                              bool free_border, double data_weight, int64_t feather, double tolerance, int threads) {
  const int64_t pixels = height * width;
  const BlendImage<T> first{target, donor,  donor_valid, scale,       domain,     labels, nullptr,
                            height, width, donors,      free_border, data_weight};
  each_image(first, batch, threads, [&](const BlendImage<T>& image, int64_t b, int threads_of_image) {
    Blend<T>(image, feather, threads_of_image)
        .gradients(grad_blended + b * pixels, grad_target + b * pixels,
                   grad_donor ? grad_donor + b * donors * pixels : nullptr, tolerance);
  });
}

#define PF3D_INSTANCES(T)                                                                                            \
  template void blend_gradients(const T*, const T*, const int32_t*, const bool*, const T*, const bool*, T*,          \
                                int32_t*, void*, int64_t, int64_t, int64_t, int64_t, bool, double, int64_t, double,  \
                                int);                                                                                \
  template void blend_gradients_backward(const T*, const T*, const int32_t*, const bool*, const T*, const bool*,     \
                                         const T*, T*, T*, void*, int64_t, int64_t, int64_t, int64_t, bool, double,  \
                                         int64_t, double, int)
PF3D_INSTANCES(float);
PF3D_INSTANCES(double);

}  // namespace pyface3d::cpu
