// csrc/core/offsets.h -- where things begin in dense arrays. In 64 bits throughout: a batch of large pictures has more
// than 2^31 values, and the assertions below are such batches.
#pragma once
#include "core/vec.h"

namespace pyface3d {

// First pixel of an image in (B, H, W).
PF3D_HD constexpr int64_t image_offset(int64_t image, int64_t height, int64_t width) { return image * height * width; }

// First value of an image's vertices in (B, V, C).
PF3D_HD constexpr int64_t verts_offset(int64_t image, int64_t num_verts, int64_t channels) {
  return image * num_verts * channels;
}

// First corner of a face in (F, 3). Face numbers are 32 bits, three times one is not.
PF3D_HD constexpr int64_t corner_offset(int32_t face) { return 3 * static_cast<int64_t>(face); }

static_assert(image_offset(127, 32768, 32768) == 136365211648, "128 pictures of the greatest size");
static_assert(3 * image_offset(683, 1024, 1024) == 2148532224, "three weights a pixel");
static_assert(verts_offset(20008, 35782, 3) == 2147778768, "a long batch of coordinates");
static_assert(corner_offset(2147483647) == 6442450941, "the greatest face");

}  // namespace pyface3d
