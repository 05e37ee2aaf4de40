// csrc/cpu/mesh_cholesky.cpp -- multifrontal Cholesky (Duff and Reid 1983; Liu 1992) over the blocks of a dissection.
#include "cpu/mesh_cholesky.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/dense_front.h"
#include "cpu/parallel.h"

namespace pyface3d::cpu {
namespace {

constexpr int kRhs = 3;
constexpr int kTasks = 16;  // pieces that the work on one matrix is cut into, about

template <class T> void at_least(std::vector<T>& memory, int64_t count) {
  if (static_cast<int64_t>(memory.size()) < count) memory.resize(count);
}

}  // namespace

void MeshCholesky::analyse(const int32_t* offsets, const int32_t* neighbours, const int32_t* order,
                           const int32_t* blocks, const uint8_t* chosen, uint8_t mask, int64_t num_verts) {
  vertex_.resize(num_verts);
  block_of_.resize(num_verts);
  first_.clear();
  unknown_of_.resize(num_verts);
  int32_t last_block = -1, count = 0;
  for (int64_t p = 0; p < num_verts; ++p) {
    const int32_t v = order[p];
    if (!(chosen[v] & mask)) {
      unknown_of_[v] = -1;
      continue;
    }
    if (blocks[p] != last_block) {
      last_block = blocks[p];
      first_.push_back(count);
    }
    vertex_[count] = v;
    block_of_[count] = static_cast<int32_t>(first_.size()) - 1;
    unknown_of_[v] = count++;
  }
  first_.push_back(count);
  vertex_.resize(count);
  edge_offset_.resize(count + 1);
  at_least(edges_, offsets[num_verts] + 1);
  const int32_t* unknown_of = unknown_of_.data();
  int32_t* edge = edges_.data();
  for (int32_t i = 0; i < count; ++i) {
    edge_offset_[i] = static_cast<int32_t>(edge - edges_.data());
    const int32_t v = vertex_[i];
    for (int32_t k = offsets[v]; k < offsets[v + 1]; ++k) {
      *edge = unknown_of[neighbours[k]];
      edge += *edge >= 0;  // the next one overwrites a neighbour that is known
    }
  }
  edge_offset_[count] = static_cast<int32_t>(edge - edges_.data());
  find_rows();
  find_sequence();
}

// The elimination tree of the blocks (Liu's algorithm with path compression), and with it the rows of each panel: row k
// stands in every block on the path from a neighbour's block up to its own. Rows are met rising, so lists are sorted.
void MeshCholesky::find_rows() {
  const int32_t num_blocks = static_cast<int32_t>(first_.size()) - 1;
  parent_.assign(num_blocks, -1);
  ancestor_.assign(num_blocks, -1);
  mark_.assign(num_blocks, -1);
  row_offset_.assign(num_blocks + 1, 0);
  int64_t met = 0;
  for (int32_t k = 0; k < size(); ++k) {
    const int32_t own = block_of_[k];
    for (int32_t e = edge_offset_[k]; e < edge_offset_[k + 1]; ++e) {
      if (edges_[e] >= first_[own]) continue;
      for (int32_t b = block_of_[edges_[e]]; b != own;) {
        const int32_t next = ancestor_[b];
        ancestor_[b] = own;
        if (next < 0) parent_[b] = own;
        if (next < 0) break;
        b = next;
      }
      for (int32_t b = block_of_[edges_[e]]; b != own && mark_[b] != k; b = parent_[b]) {
        mark_[b] = k;
        ++row_offset_[b + 1];
        if (2 * met == static_cast<int64_t>(pairs_.size())) pairs_.resize(std::max<int64_t>(1024, 4 * met));
        pairs_[2 * met] = b;
        pairs_[2 * met++ + 1] = k;
      }
    }
  }
  for (int32_t b = 0; b < num_blocks; ++b) row_offset_[b + 1] += row_offset_[b];
  rows_.resize(met);
  mark_.assign(row_offset_.begin(), row_offset_.end() - 1);
  for (int64_t i = 0; i < met; ++i) rows_[mark_[pairs_[2 * i]]++] = pairs_[2 * i + 1];
}

// Children, and the blocks in postorder: updates then form a stack.
void MeshCholesky::find_sequence() {
  const int32_t num_blocks = static_cast<int32_t>(parent_.size());
  child_offset_.assign(num_blocks + 2, 0);
  for (int32_t b = 0; b < num_blocks; ++b)
    if (parent_[b] >= 0) ++child_offset_[parent_[b] + 2];
  for (int32_t b = 0; b < num_blocks; ++b) child_offset_[b + 2] += child_offset_[b + 1];
  children_.resize(num_blocks);
  for (int32_t b = 0; b < num_blocks; ++b)
    if (parent_[b] >= 0) children_[child_offset_[parent_[b] + 1]++] = b;
  in_task_.assign(num_blocks, 0);
  sequence_.clear();
  mark_.assign(child_offset_.begin(), child_offset_.end());
  for (int32_t root = 0; root < num_blocks; ++root) {
    if (parent_[root] >= 0) continue;
    for (int32_t b = root; b >= 0;) {
      if (mark_[b] < child_offset_[b + 1]) {
        b = children_[mark_[b]++];
      } else {
        sequence_.push_back(b);
        b = parent_[b];
      }
    }
  }
  panel_.resize(num_blocks);
  update_.resize(num_blocks);
  factor_size_ = 0;
  for (const int32_t b : sequence_) {
    panel_[b] = factor_size_;
    factor_size_ += padded(pivots(b) + below(b) + kRhs) * pivots(b);
  }
  factor_size_ += kLanes;  // the last tile of an update may read past its rows
}

void MeshCholesky::find_tasks(int threads) {
  const int32_t num_blocks = static_cast<int32_t>(parent_.size());
  in_task_.assign(num_blocks, 0);
  tasks_.clear();
  if (threads <= 1) return;
  std::vector<double> work(num_blocks, 0);
  double total = 0;
  for (const int32_t b : sequence_) {
    const double rows = pivots(b) + below(b) + kRhs, own = pivots(b) * rows * rows;
    total += own;
    work[b] += own;
    if (parent_[b] >= 0) work[parent_[b]] += work[b];
  }
  const double limit = total / kTasks;
  int32_t begin = 0;
  for (int32_t i = 0; i < num_blocks; ++i) {
    const int32_t b = sequence_[i];
    if (work[b] > limit) {
      begin = i + 1;
      continue;
    }
    in_task_[b] = 1;
    if (parent_[b] >= 0 && work[parent_[b]] <= limit) continue;
    in_task_[b] = 2;
    tasks_.push_back({begin, i + 1});
    begin = i + 1;
  }
}

// Doubles on the stack while sequence_[begin, end) is eliminated; a task's root leaves its update elsewhere.
int64_t MeshCholesky::stack_needed(int32_t begin, int32_t end, bool tasks_too) const {
  int64_t top = 0, most = 0;
  for (int32_t i = begin; i < end; ++i) {
    const int32_t b = sequence_[i];
    if (in_task_[b] && !tasks_too) continue;
    const int64_t own = padded(below(b) + kRhs) * below(b);
    most = std::max(most, top + own);
    for (int32_t c = child_offset_[b]; c < child_offset_[b + 1]; ++c) {
      const int32_t child = children_[c];
      if (in_task_[child] != 2) top -= padded(below(child) + kRhs) * below(child);
    }
    if (in_task_[b] != 2) top += own;
  }
  return most;
}

void MeshCholesky::assemble(int32_t b, const double* diagonal, const double* values, double* update,
                            Workspace& work) {
  const int32_t count = pivots(b), rows = below(b), first = first_[b], last = first_[b + 1];
  const int64_t stride = padded(count + rows + kRhs), update_stride = padded(rows + kRhs);
  double* panel = factor_.data() + panel_[b];
  int32_t* where = work.where.data();
  std::memset(panel, 0, sizeof(double) * stride * count);
  if (rows > 0) std::memset(update, 0, sizeof(double) * update_stride * rows);
  for (int32_t i = 0; i < rows; ++i) where[rows_[row_offset_[b] + i]] = count + i;
  for (int32_t k = first; k < last; ++k) {
    double* column = panel + stride * (k - first);
    column[k - first] = diagonal[k];
    for (int32_t e = edge_offset_[k]; e < edge_offset_[k + 1]; ++e) {
      const int32_t other = edges_[e];
      if (other > k) column[other < last ? other - first : where[other]] = -1.0;
    }
    for (int q = 0; q < kRhs; ++q) column[count + rows + q] = values[kRhs * k + q];
  }
  for (int32_t c = child_offset_[b]; c < child_offset_[b + 1]; ++c) {
    const int32_t child = children_[c], child_rows = below(child);
    const int64_t child_stride = padded(child_rows + kRhs);
    int32_t* local = work.local.data();
    for (int32_t i = 0; i < child_rows; ++i) {
      const int32_t row = rows_[row_offset_[child] + i];
      local[i] = row < last ? row - first : where[row];
    }
    for (int q = 0; q < kRhs; ++q) local[child_rows + q] = count + rows + q;
    const double* source = update_[child];
    for (int32_t j = 0; j < child_rows; ++j, source += child_stride) {
      double* column =
          local[j] < count ? panel + stride * local[j] : update + update_stride * (local[j] - count) - count;
      for (int32_t i = j; i < child_rows + kRhs; ++i) column[local[i]] += source[i];
    }
  }
}

void MeshCholesky::eliminate(int32_t b, const double* diagonal, const double* values, Workspace& work) {
  const int32_t count = pivots(b), rows = below(b);
  const int64_t update_stride = padded(rows + kRhs), own = update_stride * rows;
  double* update = work.stack.data() + work.top;
  assemble(b, diagonal, values, update, work);
  eliminate_front(factor_.data() + panel_[b], padded(count + rows + kRhs), count, update, update_stride, rows);
  for (int32_t c = child_offset_[b]; c < child_offset_[b + 1]; ++c) {
    const int32_t child = children_[c];
    if (in_task_[child] != 2) work.top -= padded(below(child) + kRhs) * below(child);
  }
  double* kept = in_task_[b] == 2 ? update_[b] : work.stack.data() + work.top;
  if (own > 0) std::memmove(kept, update, sizeof(double) * own);
  update_[b] = kept;
  if (in_task_[b] != 2) work.top += own;
}

void MeshCholesky::substitute(int32_t b, double* values, Workspace& work) const {
  const int32_t count = pivots(b), rows = below(b);
  const int64_t stride = padded(count + rows + kRhs);
  double* x = work.x.data();
  std::memset(x, 0, sizeof(double) * kRhs * stride);
  for (int32_t i = 0; i < rows; ++i)
    for (int q = 0; q < kRhs; ++q) x[q * stride + count + i] = values[kRhs * rows_[row_offset_[b] + i] + q];
  substitute_back(factor_.data() + panel_[b], stride, count, count + rows, x);
  for (int32_t j = 0; j < count; ++j)
    for (int q = 0; q < kRhs; ++q) values[kRhs * (first_[b] + j) + q] = x[q * stride + j];
}

int64_t MeshCholesky::all_bytes() const {
  const size_t vertices = 4 * vertex_.size() + unknown_of_.size() + edges_.size() + pairs_.size();
  const int64_t integers = static_cast<int64_t>(vertices + 3 * rows_.size() + 12 * first_.size());
  const int64_t numbers = factor_size_ + 4 * size() + stack_needed(0, static_cast<int32_t>(parent_.size()), true);
  return 4 * integers + 8 * numbers;
}

void MeshCholesky::solve(const double* diagonal, double* values, int threads) {
  const int32_t num_blocks = static_cast<int32_t>(parent_.size());
  find_tasks(threads);
  at_least(factor_, factor_size_);
  int64_t kept = 0, tallest = 0;
  int32_t most_rows = 0;
  for (int32_t b = 0; b < num_blocks; ++b) {
    most_rows = std::max(most_rows, below(b));
    tallest = std::max(tallest, padded(pivots(b) + below(b) + kRhs));
    if (in_task_[b] == 2) kept += padded(below(b) + kRhs) * below(b);
  }
  at_least(kept_, kept);
  kept = 0;
  for (int32_t b = 0; b < num_blocks; ++b)
    if (in_task_[b] == 2) {
      update_[b] = kept_.data() + kept;
      kept += padded(below(b) + kRhs) * below(b);
    }
  const int32_t num_tasks = static_cast<int32_t>(tasks_.size());
  at_least(workspaces_, num_tasks + 1);
  const auto prepare = [&](Workspace& work, int64_t stack) {
    at_least(work.stack, stack);
    at_least(work.where, size());
    at_least(work.local, most_rows + kRhs);
    at_least(work.x, kRhs * tallest);
    work.top = 0;
  };
  parallel_for(threads, num_tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      Workspace& work = workspaces_[t];
      prepare(work, stack_needed(tasks_[t].begin, tasks_[t].end, true));
      for (int32_t i = tasks_[t].begin; i < tasks_[t].end; ++i) eliminate(sequence_[i], diagonal, values, work);
    }
  });
  Workspace& rest = workspaces_[num_tasks];
  prepare(rest, stack_needed(0, num_blocks, false));
  for (const int32_t b : sequence_)
    if (!in_task_[b]) eliminate(b, diagonal, values, rest);
  for (int32_t i = num_blocks - 1; i >= 0; --i)
    if (!in_task_[sequence_[i]]) substitute(sequence_[i], values, rest);
  parallel_for(threads, num_tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int32_t i = tasks_[t].end - 1; i >= tasks_[t].begin; --i) substitute(sequence_[i], values, workspaces_[t]);
  });
}

void mesh_cholesky_bytes(const int32_t* offsets, const int32_t* neighbours, const int32_t* order,
                         const int32_t* blocks, const uint8_t* chosen, int64_t* bytes, int64_t num_verts) {
  MeshCholesky cholesky;
  cholesky.analyse(offsets, neighbours, order, blocks, chosen, 0xff, num_verts);
  bytes[0] = cholesky.factor_bytes();
  bytes[1] = cholesky.all_bytes();
}

}  // namespace pyface3d::cpu
