// csrc/cpu/mesh_cholesky.h -- direct solution of Laplacian-like systems on part of a mesh.
#pragma once
#include <cstdint>
#include <vector>

namespace pyface3d::cpu {

// Multifrontal Cholesky of the matrix with `diagonal` on the diagonal and -1 on the edges among the chosen vertices.
// Memory stays with the object for the next call. Bits do not depend on the number of threads.
class MeshCholesky {
 public:
  // Which vertices (chosen[v] & mask) are unknowns, under the order and blocks of nested_dissection. One sweep over
  // their edges: fill that known vertices would have caused does not arise.
  void analyse(const int32_t* offsets, const int32_t* neighbours, const int32_t* order, const int32_t* blocks,
               const uint8_t* chosen, uint8_t mask, int64_t num_verts);

  int32_t size() const { return static_cast<int32_t>(vertex_.size()); }
  const std::vector<int32_t>& vertices() const { return vertex_; }  // by the number of the unknown

  // Solves for three right-hand sides: diagonal (n), values (n, 3) -> overwritten by the solution.
  void solve(const double* diagonal, double* values, int threads);

  // Memory that `solve` needs on one thread: the factor, and all of it with stack and structure.
  int64_t factor_bytes() const { return 8 * factor_size_; }
  int64_t all_bytes() const;

 private:
  struct Workspace {
    std::vector<double> stack, x;      // updates that wait for their parents; unknowns of one front
    std::vector<int32_t> where, local;  // row of a front by unknown; rows of a child in its parent's front
    int64_t top = 0;
  };
  struct Task {
    int32_t begin, end;  // places in sequence_: a whole subtree, its root last
  };

  int32_t pivots(int32_t b) const { return first_[b + 1] - first_[b]; }
  int32_t below(int32_t b) const { return row_offset_[b + 1] - row_offset_[b]; }
  void find_rows();
  void find_sequence();
  void find_tasks(int threads);
  int64_t stack_needed(int32_t begin, int32_t end, bool tasks_too) const;
  void assemble(int32_t b, const double* diagonal, const double* values, double* update, Workspace& work);
  void eliminate(int32_t b, const double* diagonal, const double* values, Workspace& work);
  void substitute(int32_t b, double* values, Workspace& work) const;

  // Unknowns are numbered in the order of elimination; block b owns [first_[b], first_[b + 1]).
  std::vector<int32_t> vertex_, unknown_of_, block_of_, first_;
  std::vector<int32_t> edge_offset_, edges_;         // neighbours among the unknowns
  std::vector<int32_t> parent_, row_offset_, rows_;  // of each block: its parent or -1, its rows below the pivots
  std::vector<int32_t> child_offset_, children_;
  std::vector<int32_t> sequence_;  // blocks, children before parents and every subtree in one piece
  std::vector<Task> tasks_;        // subtrees that threads may take
  std::vector<uint8_t> in_task_;   // of each block: 0 no, 1 inside, 2 root of a task
  std::vector<int64_t> panel_;     // where a block's panel is in factor_
  std::vector<double*> update_;    // where its update waits
  std::vector<double> factor_, kept_;
  int64_t factor_size_ = 0;
  std::vector<Workspace> workspaces_;
  std::vector<int32_t> pairs_, ancestor_, mark_;
};

// For the record of a benchmark: both figures for a choice of vertices, into bytes (2).
void mesh_cholesky_bytes(const int32_t* offsets, const int32_t* neighbours, const int32_t* order,
                         const int32_t* blocks, const uint8_t* chosen, int64_t* bytes, int64_t num_verts);

}  // namespace pyface3d::cpu
