// csrc/cuda/kernels.h -- every CUDA entry point; `stream` is always last. Same arrays as cpu/kernels.h, on the device.
// `workspace`: 1 + 2 n words for a repeatable sum of n gradients (sums.cuh), or null.
#pragma once
#include <cstdint>

struct CUstream_st;

namespace pyface3d::cuda {

using Stream = CUstream_st*;

int device_count();  // 0 when there is no driver

template <class T>
void face_normals(const T* verts, const int32_t* faces, T* normals, int64_t batch, int64_t num_verts,
                  int64_t num_faces, Stream stream);
template <class T>
void face_normals_backward(const T* verts, const int32_t* faces, const T* grad_normals, T* grad_verts,
                           int64_t batch, int64_t num_verts, int64_t num_faces, int64_t* workspace, Stream stream);

// verts_image (B, V, 3), faces (F, 3) -> face_index (B, H, W), barycentrics (B, H, W, 3), depth (B, H, W)
template <class T>
void rasterize(const T* verts_image, const int32_t* faces, int32_t* face_index, T* barycentrics, T* depth,
               int64_t batch, int64_t num_verts, int64_t num_faces, int64_t height, int64_t width, bool cull_back,
               bool perspective, Stream stream);
// Either gradient may be null (zero).
template <class T>
void rasterize_backward(const T* verts_image, const int32_t* faces, const int32_t* face_index,
                        const T* grad_barycentrics, const T* grad_depth, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, bool perspective, int64_t* workspace,
                        Stream stream);

// attributes (B, V, C), or (V, C) when shared; P = H W pixels an image -> values (B, P, C)
template <class T>
void interpolate(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                 T* values, int64_t batch, bool shared, int64_t num_verts, int64_t num_pixels, int64_t channels,
                 Stream stream);
// Either output may be null (not wanted).
template <class T>
void interpolate_backward(const T* attributes, const int32_t* faces, const int32_t* face_index, const T* barycentrics,
                          const T* grad_values, T* grad_attributes, T* grad_barycentrics, int64_t batch, bool shared,
                          int64_t num_verts, int64_t num_pixels, int64_t channels, int64_t* workspace,
                          Stream stream);

// verts_image (B, V, 3), face_index and depth (B, H, W) -> visible (B, V)
template <class T>
void vertex_visibility(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                       bool* visible, int64_t batch, int64_t num_verts, int64_t height, int64_t width,
                       double tolerance, Stream stream);

// verts (B, V, 3), faces (F, 3), their corners around each vertex as CSR (Topology.vertex_faces) -> normals (B, V, 3);
// grad_sums (B, V, 3) is working memory
template <class T>
void vertex_normals(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners, T* normals,
                    int64_t batch, int64_t num_verts, int64_t num_faces, Stream stream);
template <class T>
void vertex_normals_backward(const T* verts, const int32_t* faces, const int32_t* offsets, const int32_t* corners,
                             const T* grad_normals, T* grad_sums, T* grad_verts, int64_t batch, int64_t num_verts,
                             int64_t num_faces, Stream stream);

// normals (B, N, 3), light (B, 9, 3), albedo (B, N, 3) or null -> shaded (B, N, 3); a null gradient is not wanted
template <class T>
void shade_spherical_harmonics(const T* normals, const T* light, const T* albedo, T* shaded, int64_t batch,
                               int64_t count, Stream stream);
template <class T>
void shade_spherical_harmonics_backward(const T* normals, const T* light, const T* albedo, const T* grad_shaded,
                                        T* grad_normals, T* grad_light, T* grad_albedo, int64_t batch, int64_t count,
                                        int64_t* workspace, Stream stream);

// texture (B or 1, Ht, Wt, C), uvs (B, N, 2) -> colours (B, N, C); filter and wrap as in core/texture.h; a null gradient
// is not wanted
template <class T>
void sample_texture(const T* texture, const T* uvs, T* colours, int64_t textures, int64_t height, int64_t width,
                    int64_t channels, int64_t batch, int64_t count, int filter, int wrap, Stream stream);
template <class T>
void sample_texture_backward(const T* texture, const T* uvs, const T* grad_colours, T* grad_texture, T* grad_uvs,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int filter, int wrap, int64_t* workspace, Stream stream);

// The same with uvs made on the way from face_index (B, N), barycentrics (B, N, 3), uvs (T, 2) and uv_faces (F, 3).
template <class T>
void render_texture(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                    const int32_t* uv_faces, T* colours, int64_t textures, int64_t height, int64_t width,
                    int64_t channels, int64_t batch, int64_t count, int64_t num_faces, int filter, int wrap,
                    Stream stream);
template <class T>
void render_texture_backward(const T* texture, const int32_t* face_index, const T* barycentrics, const T* uvs,
                             const int32_t* uv_faces, const T* grad_colours, T* grad_texture, T* grad_barycentrics,
                             int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                             int64_t count, int64_t num_faces, int filter, int wrap, int64_t* workspace,
                             Stream stream);

// texture (B or 1, Ht, Wt, C) -> the levels of its mip pyramid above it, one after the other (B or 1, P, C); core/mip.h
template <class T>
void mip_pyramid(const T* texture, T* above, int64_t batch, int64_t height, int64_t width, int64_t channels,
                 Stream stream);
// Its transpose, instead of what is in `grad_texture` or added to it; `grad_above` is used up.
template <class T>
void mip_pyramid_backward(T* grad_above, T* grad_texture, int64_t batch, int64_t height, int64_t width,
                          int64_t channels, bool add, Stream stream);

// sample_texture and render_texture through the pyramid, footprints (B, N, 2, 2). The gradients of texture and pyramid are
// wanted together or not at all.
template <class T>
void sample_texture_trilinear(const T* texture, const T* above, const T* uvs, const T* footprints, T* colours,
                              int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                              int64_t count, int wrap, Stream stream);
template <class T>
void sample_texture_trilinear_backward(const T* texture, const T* above, const T* uvs, const T* footprints,
                                       const T* grad_colours, T* grad_texture, T* grad_above, T* grad_uvs,
                                       int64_t textures, int64_t height, int64_t width, int64_t channels,
                                       int64_t batch, int64_t count, int wrap, int64_t* texture_workspace,
                                       int64_t* above_workspace, Stream stream);
template <class T>
void render_texture_trilinear(const T* texture, const T* above, const int32_t* face_index, const T* barycentrics,
                              const T* uvs, const int32_t* uv_faces, const T* footprints, T* colours,
                              int64_t textures, int64_t height, int64_t width, int64_t channels, int64_t batch,
                              int64_t count, int64_t num_faces, int wrap, Stream stream);
template <class T>
void render_texture_trilinear_backward(const T* texture, const T* above, const int32_t* face_index,
                                       const T* barycentrics, const T* uvs, const int32_t* uv_faces,
                                       const T* footprints, const T* grad_colours, T* grad_texture, T* grad_above,
                                       T* grad_barycentrics, int64_t textures, int64_t height, int64_t width,
                                       int64_t channels, int64_t batch, int64_t count, int64_t num_faces, int wrap,
                                       int64_t* texture_workspace, int64_t* above_workspace, Stream stream);

// verts_image (B, V, 3), face_index (B, H, W) -> d(u, v)/d(x, y) at every pixel (B, H, W, 2, 2)
template <class T>
void uv_footprint(const T* verts_image, const int32_t* faces, const T* uvs, const int32_t* uv_faces,
                  const int32_t* face_index, T* footprints, int64_t batch, int64_t num_verts, int64_t num_faces,
                  int64_t height, int64_t width, bool perspective, Stream stream);

// uvs (T, 2), uv_faces (F, 3) -> face_index (Ht, Wt), barycentrics (Ht, Wt, 3), distance (Ht, Wt) in texels from the
// middle of a texel to its face; keys (Ht, Wt) is working memory
template <class T>
void rasterize_uvs(const T* uvs, const int32_t* uv_faces, int64_t* keys, int32_t* face_index, T* barycentrics,
                   T* distance, int64_t num_faces, int64_t height, int64_t width, Stream stream);

// verts_image (B, V, 3), faces (F, 3), a chart of N texels, depth (B, H, W) or null, vertex_seen (B, V) or null ->
// image_uvs (B, N, 2), infinite where unseen, and weight (B, N)
template <class T>
void bake_texture(const T* verts_image, const int32_t* faces, const int32_t* chart_faces,
                  const T* chart_barycentrics, const T* depth, const T* vertex_seen, T* image_uvs, T* weight,
                  int64_t batch, int64_t num_verts, int64_t texels, int64_t height, int64_t width, double tolerance,
                  bool perspective, Stream stream);

// Channels in slices (core/deform.h): input (B, slices, H W, channels); offset (B, 2 G taps, P) and mask (B, G taps, P)
// or null, over P = out_height out_width positions; weight (slices, taps channels, output_row); bias (Cout,) or null ->
// output (B, Cout, P)
template <class T>
void deform_conv2d(const T* input, const T* offset, const T* mask, const T* weight, const T* bias, T* output,
                   int64_t batch, int64_t slices, int64_t channels, int64_t height, int64_t width,
                   int64_t out_channels, int64_t out_height, int64_t out_width, int64_t offset_groups, int64_t groups,
                   int64_t kernel_height, int64_t kernel_width, int64_t stride_y, int64_t stride_x, int64_t padding_y,
                   int64_t padding_x, int64_t dilation_y, int64_t dilation_x, Stream stream);
// weight (slices, Cout / groups, term_row); grad_rows (B, P, Cout). A null gradient is not wanted. grad_offset and
// grad_mask have in front an axis of the slices that share an offset, grad_weight (runs, ...) one of runs of images:
// the answer is in the first, the others are working memory.
template <class T>
void deform_conv2d_backward(const T* input, const T* offset, const T* mask, const T* weight, const T* grad_rows,
                            T* grad_input, T* grad_offset, T* grad_mask, T* grad_weight, T* grad_bias, int64_t runs,
                            int64_t batch, int64_t slices, int64_t channels, int64_t height, int64_t width,
                            int64_t out_channels, int64_t out_height, int64_t out_width, int64_t offset_groups,
                            int64_t groups, int64_t kernel_height, int64_t kernel_width, int64_t stride_y,
                            int64_t stride_x, int64_t padding_y, int64_t padding_x, int64_t dilation_y,
                            int64_t dilation_x, int64_t* workspace, Stream stream);

// positions and normals (B, H, W, 3), bump and mask (B, H, W) -> bumped (B, H, W, 3); a null gradient is not wanted
template <class T>
void bump_normals(const T* positions, const T* normals, const T* bump, const bool* mask, T* bumped, int64_t batch,
                  int64_t height, int64_t width, double max_gap, Stream stream);
template <class T>
void bump_normals_backward(const T* positions, const T* normals, const T* bump, const bool* mask, const T* grad_bumped,
                           T* grad_positions, T* grad_normals, T* grad_bump, int64_t batch, int64_t height,
                           int64_t width, double max_gap, Stream stream);

// verts (B, V, 3), direction (B, V, 3) or (V, 3) when shared, amount (B, V) -> moved (B, V, 3)
template <class T>
void displace(const T* verts, const T* direction, const T* amount, T* moved, int64_t batch, bool shared,
              int64_t num_verts, Stream stream);
template <class T>
void displace_backward(const T* direction, const T* amount, const T* grad_moved, T* grad_direction, T* grad_amount,
                       int64_t batch, bool shared, int64_t num_verts, Stream stream);

// face_index, depth, bump or null, mask or null (B, H, W), cameras (B, 3) = focal length, middle -> verts (B, H, W, 3),
// is_vertex (B, H, W), cells (B, H - 1, W - 1)
template <class T>
void dense_mesh(const int32_t* face_index, const T* depth, const T* bump, const bool* mask, const T* cameras, T* verts,
                bool* is_vertex, uint8_t* cells, int64_t batch, int64_t height, int64_t width, bool along_ray,
                double max_gap, double least_cosine, Stream stream);
template <class T>
void dense_mesh_backward(const bool* is_vertex, const T* cameras, const T* grad_verts, T* grad_depth, T* grad_bump,
                         int64_t batch, int64_t height, int64_t width, bool along_ray, Stream stream);

// verts_image (B, V, 3), face_index and depth (B, H, W) of the posed picture, faces and barycentrics (B, P) of the
// frontal one -> weights (B, V); counts and blurred (B, H, W) are working memory
template <class T>
void occlusion_weights(const T* verts_image, const int32_t* faces, const int32_t* face_index, const T* depth,
                       const int32_t* frontal_faces, const T* frontal_barycentrics, int32_t* counts, int32_t* blurred,
                       T* weights, int64_t batch, int64_t num_verts, int64_t height, int64_t width,
                       int64_t frontal_pixels, double tolerance, bool perspective, bool compat, Stream stream);

// target (B, H, W), donor (B, D, H, W), labels (B, H, W) (0 target, k donor k); donor_valid (B, D, H, W), scale (B, D)
// and domain (B, H, W) may be null -> blended (B, H, W), iterations (B) of the solver. The workspace is for the device;
// the CPU has its own.
template <class T>
void blend_gradients(const T* target, const T* donor, const int32_t* labels, const bool* donor_valid, const T* scale,
                     const bool* domain, T* blended, int32_t* iterations, void* workspace, int64_t batch,
                     int64_t donors, int64_t height, int64_t width, bool free_border, double data_weight,
                     int64_t feather, double tolerance, Stream stream);
// grad_donor may be null (not wanted).
template <class T>
void blend_gradients_backward(const T* target, const T* donor, const int32_t* labels, const bool* donor_valid,
                              const T* scale, const bool* domain, const T* grad_blended, T* grad_target,
                              T* grad_donor, void* workspace, int64_t batch, int64_t donors, int64_t height,
                              int64_t width, bool free_border, double data_weight, int64_t feather, double tolerance,
                              Stream stream);

// image (B, H, W, C), Topology.opposite_corners (F, 3), face_index and depth (B, H, W) -> mixed (B, H, W, C) and the
// codes of core/outline.h for the lines to the right and down, outlines (B, 2, H, W)
template <class T>
void antialias(const T* image, const T* verts_image, const T* depth, const int32_t* faces, const int32_t* opposite,
               const int32_t* face_index, T* mixed, int32_t* outlines, int64_t batch, int64_t num_verts,
               int64_t num_faces, int64_t height, int64_t width, int64_t channels, Stream stream);
// Either gradient may be null (not wanted).
template <class T>
void antialias_backward(const T* image, const T* verts_image, const int32_t* faces, const int32_t* opposite,
                        const int32_t* outlines, const T* grad_mixed, T* grad_image, T* grad_verts, int64_t batch,
                        int64_t num_verts, int64_t height, int64_t width, int64_t channels, int64_t* workspace,
                        Stream stream);

// As on the CPU; work has 21 V + 10 (V / 4 + 1) numbers for each image.
template <class T>
void complete_symmetry(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                       const int32_t* offsets, const int32_t* neighbours, const int32_t* order, const int32_t* blocks,
                       const int32_t* hierarchy, uint8_t* states, double* work, T* completed, uint8_t* source,
                       int64_t batch, int64_t num_verts, double threshold, bool soft, bool mirror_borders,
                       Stream stream);
template <class T>
void complete_symmetry_backward(const T* verts, const T* weights, const T* reference, const int64_t* mirror,
                                const int32_t* offsets, const int32_t* neighbours, const int32_t* order,
                                const int32_t* blocks, const int32_t* hierarchy, const T* grad_completed,
                                uint8_t* states, double* work, T* grad_verts, T* grad_reference, int64_t batch,
                                int64_t num_verts, double threshold, bool soft, bool mirror_borders, Stream stream);

// coefficients (B, K), basis (K, N), mean (means, N) with means 1 or B -> verts (B, N), N = 3 V numbers; a null gradient
// is not wanted
template <class T>
void blend_shapes(const T* coefficients, const T* basis, const T* mean, T* verts, int64_t batch, int64_t means,
                  int64_t shapes, int64_t numbers, Stream stream);
template <class T>
void blend_shapes_backward(const T* coefficients, const T* basis, const T* grad_verts, T* grad_coefficients,
                           T* grad_basis, T* grad_mean, int64_t batch, int64_t means, int64_t shapes, int64_t numbers,
                           Stream stream);

}  // namespace pyface3d::cuda
