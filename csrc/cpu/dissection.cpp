// csrc/cpu/dissection.cpp -- recursive bisection by distance from two far ends, its separators refined by moving single
// vertices (Fiduccia and Mattheyses 1982, on vertex separators). Works on any graph and never sees coordinates.
#include "cpu/dissection.h"

#include <algorithm>
#include <cstdlib>
#include <queue>
#include <tuple>
#include <utility>
#include <vector>

namespace pyface3d::cpu {
namespace {

constexpr int32_t kLeaf = 18;         // vertices of a piece that is not cut any more
constexpr double kSmallerHalf = 0.36;  // of a piece, at least, before refinement
constexpr double kLargerHalf = 0.62;   // of a piece, at most, while refining
constexpr int kPasses = 4;             // of refinement

enum Side : int8_t { kLeft = 0, kRight = 1, kMiddle = 2 };

class Dissector {
 public:
  Dissector(const int32_t* offsets, const int32_t* neighbours, int32_t* order, int32_t* blocks, int32_t num_verts)
      : offsets_(offsets), neighbours_(neighbours), order_(order), blocks_(blocks), piece_(num_verts, 0),
        distance_(num_verts), other_(num_verts), side_(num_verts), locked_(num_verts, 0) {
    for (int32_t v = 0; v < num_verts; ++v) order_[v] = v;
    scratch_.reserve(num_verts);
    queue_.resize(num_verts);
  }

  // Orders the places [begin, end), whose vertices carry the mark `piece`.
  void dissect(int32_t begin, int32_t end, int32_t piece) {
    while (begin < end) {
      if (end - begin <= kLeaf) return close(begin, end);
      // A connected part at a time: it gets a mark of its own, the rest keeps the old one.
      const int32_t count = reach(order_[begin], piece, distance_);
      if (count < end - begin) {
        const int32_t part = ++pieces_;
        for (int32_t k = 0; k < count; ++k) piece_[queue_[k]] = part;
        std::stable_partition(order_ + begin, order_ + end, [&](int32_t v) { return piece_[v] == part; });
        cut(begin, begin + count, part);
        begin += count;
      } else {
        return cut(begin, end, piece);
      }
    }
  }

 private:
  void close(int32_t begin, int32_t end) {
    for (int32_t k = begin; k < end; ++k) blocks_[k] = num_blocks_;
    if (end > begin) ++num_blocks_;
  }

  template <class Body> void around(int32_t v, int32_t piece, const Body& body) const {
    for (int32_t k = offsets_[v]; k < offsets_[v + 1]; ++k)
      if (piece_[neighbours_[k]] == piece) body(neighbours_[k]);
  }

  // Breadth first: distances from v within its piece; queue_ holds what was reached, farthest last. Returns how many.
  int32_t reach(int32_t v, int32_t piece, std::vector<int32_t>& distance) {
    int32_t head = 0, tail = 0;
    const int32_t mark = ++seen_mark_;
    if (seen_.size() < piece_.size()) seen_.assign(piece_.size(), 0);
    seen_[v] = mark;
    distance[v] = 0;
    queue_[tail++] = v;
    while (head < tail) {
      const int32_t a = queue_[head++];
      around(a, piece, [&](int32_t b) {
        if (seen_[b] == mark) return;
        seen_[b] = mark;
        distance[b] = distance[a] + 1;
        queue_[tail++] = b;
      });
    }
    return tail;
  }

  // A connected piece.
  void cut(int32_t begin, int32_t end, int32_t piece) {
    const int32_t count = end - begin;
    if (count <= kLeaf) return close(begin, end);
    reach(order_[begin], piece, distance_);
    reach(queue_[count - 1], piece, distance_);
    reach(queue_[count - 1], piece, other_);
    split(begin, end, piece);
    refine(begin, end, piece);
    const int32_t marks[3] = {++pieces_, ++pieces_, ++pieces_};
    int32_t counts[3] = {0, 0, 0};
    for (int32_t k = begin; k < end; ++k) {
      const int32_t v = order_[k];
      piece_[v] = marks[side_[v]];
      ++counts[side_[v]];
    }
    scratch_.assign(order_ + begin, order_ + end);
    int32_t at[3] = {begin, begin + counts[0], begin + counts[0] + counts[1]};
    for (const int32_t v : scratch_) order_[at[side_[v]]++] = v;
    const int32_t right = begin + counts[0], middle = right + counts[1];
    if (counts[0] + counts[1] == 0 || counts[2] == 0) return close(begin, end);  // nothing was cut
    dissect(begin, right, marks[0]);
    dissect(right, middle, marks[1]);
    along(middle, end, marks[2]);
    close(middle, end);
  }

  // Sides by the difference of the distances from both ends, at the value that costs the fewest separator vertices.
  void split(int32_t begin, int32_t end, int32_t piece) {
    const int32_t count = end - begin;
    int32_t low = 0, high = 0;
    for (int32_t k = begin; k < end; ++k) {
      const int32_t v = order_[k];
      distance_[v] -= other_[v];
      low = std::min(low, distance_[v]);
      high = std::max(high, distance_[v]);
    }
    std::vector<int32_t> members(high - low + 2, 0), cost(high - low + 2, 0);
    for (int32_t k = begin; k < end; ++k) {
      const int32_t v = order_[k];
      int32_t farthest = distance_[v];
      around(v, piece, [&](int32_t w) { farthest = std::max(farthest, distance_[w]); });
      ++members[distance_[v] - low];
      ++cost[distance_[v] - low];  // v is in the separator of every threshold in [its own, its farthest neighbour's)
      --cost[farthest - low];
    }
    int32_t threshold = low, left = 0, open = 0;
    double best_score = 1e300;
    for (int32_t t = low; t < high; ++t) {
      left += members[t - low];
      open += cost[t - low];
      const int32_t smaller = std::min(left - open, count - left);
      const double lack = std::max(0.0, kSmallerHalf * count - smaller);
      const double score = open + lack;  // a vertex that a half lacks weighs as much as one of the separator
      if (score < best_score) {
        best_score = score;
        threshold = t;
      }
    }
    for (int32_t k = begin; k < end; ++k) {
      const int32_t v = order_[k];
      side_[v] = distance_[v] <= threshold ? kLeft : kRight;
    }
    for (int32_t k = begin; k < end; ++k) {
      const int32_t v = order_[k];
      if (side_[v] != kLeft) continue;
      bool touches = false;
      around(v, piece, [&](int32_t w) { touches |= distance_[w] > threshold; });
      if (touches) side_[v] = kMiddle;
    }
  }

  // What the separator gains when v leaves it for `side`: itself, less the neighbours on the other side it takes in.
  int32_t gain(int32_t v, int32_t side, int32_t piece) const {
    int32_t taken = 0;
    around(v, piece, [&](int32_t w) { taken += side_[w] == 1 - side; });
    return 1 - taken;
  }

  void refine(int32_t begin, int32_t end, int32_t piece) {
    const int32_t count = end - begin;
    const int32_t limit = static_cast<int32_t>(kLargerHalf * count) + 1;
    int32_t sizes[3] = {0, 0, 0};
    for (int32_t k = begin; k < end; ++k) ++sizes[side_[order_[k]]];
    using Move = std::tuple<int32_t, int32_t, int32_t>;  // gain, vertex, side
    std::vector<int32_t> separator;
    for (int pass = 0; pass < kPasses; ++pass) {
      separator.clear();
      for (int32_t k = begin; k < end; ++k)
        if (side_[order_[k]] == kMiddle) separator.push_back(order_[k]);
      std::priority_queue<Move> moves;
      const auto offer = [&](int32_t v) {
        for (int32_t side = 0; side < 2; ++side) moves.emplace(gain(v, side, piece), v, side);
      };
      for (const int32_t v : separator) offer(v);
      std::vector<std::pair<int32_t, int8_t>> undo;  // vertex, the side it had
      const auto score = [&] { return sizes[2] * 4.0 * count + std::abs(sizes[0] - sizes[1]); };
      const double start = score();
      double best = start;
      size_t kept = 0;
      std::vector<int32_t> touched, taken;
      int32_t fruitless = 0;
      const int32_t patience = 30 + sizes[2];
      while (!moves.empty() && fruitless < patience) {
        const auto [promised, v, side] = moves.top();
        moves.pop();
        if (side_[v] != kMiddle || locked_[v]) continue;
        const int32_t now = gain(v, side, piece);
        if (now != promised) {
          if (now < promised) moves.emplace(now, v, side);
          continue;
        }
        if (sizes[side] + 1 > limit) continue;
        undo.emplace_back(v, side_[v]);
        locked_[v] = 1;
        touched.push_back(v);
        side_[v] = static_cast<int8_t>(side);
        --sizes[2];
        ++sizes[side];
        around(v, piece, [&](int32_t w) {
          if (side_[w] != 1 - side) return;
          undo.emplace_back(w, side_[w]);
          side_[w] = kMiddle;
          --sizes[1 - side];
          ++sizes[2];
          taken.push_back(w);
        });
        // What is dearer now is noticed when its turn comes; what is cheaper must be offered again.
        for (const int32_t w : taken) {
          if (!locked_[w]) offer(w);
          around(w, piece, [&](int32_t x) {
            if (side_[x] == kMiddle && !locked_[x]) moves.emplace(gain(x, side, piece), x, side);
          });
        }
        taken.clear();
        const double reached = score();
        if (reached < best) {
          best = reached;
          kept = undo.size();
          fruitless = 0;
        } else {
          ++fruitless;
        }
      }
      for (const int32_t v : touched) locked_[v] = 0;
      while (undo.size() > kept) {
        const auto [v, before] = undo.back();
        undo.pop_back();
        --sizes[side_[v]];
        ++sizes[before];
        side_[v] = before;
      }
      if (!(best < start)) return;
    }
  }

  // Sorts a separator along itself, so that neighbours in it are neighbours in the order.
  void along(int32_t begin, int32_t end, int32_t piece) {
    scratch_.clear();
    for (int32_t k = begin; k < end; ++k) {
      const int32_t v = order_[k];
      if (piece_[v] != piece) continue;  // taken already
      int32_t count = reach(v, piece, other_);
      count = reach(queue_[count - 1], piece, other_);
      for (int32_t i = 0; i < count; ++i) {
        piece_[queue_[i]] = -1;
        scratch_.push_back(queue_[i]);
      }
    }
    std::copy(scratch_.begin(), scratch_.end(), order_ + begin);
  }

  const int32_t *offsets_, *neighbours_;
  int32_t *order_, *blocks_;
  std::vector<int32_t> piece_, distance_, other_, queue_, seen_, scratch_;
  std::vector<int8_t> side_;
  std::vector<uint8_t> locked_;
  int32_t pieces_ = 0, num_blocks_ = 0, seen_mark_ = 0;
};

}  // namespace

void mesh_graph(const int32_t* faces, int32_t* offsets, int32_t* neighbours, int64_t num_faces, int64_t num_verts) {
  std::vector<int64_t> first(num_verts + 1, 0);
  for (int64_t i = 0; i < 3 * num_faces; ++i) first[faces[i] + 1] += 2;
  for (int64_t v = 0; v < num_verts; ++v) first[v + 1] += first[v];
  std::vector<int32_t> ends(6 * num_faces);
  std::vector<int64_t> next(first.begin(), first.end() - 1);
  for (int64_t f = 0; f < num_faces; ++f)
    for (int k = 0; k < 3; ++k) {
      const int32_t a = faces[3 * f + k];
      ends[next[a]++] = faces[3 * f + (k + 1) % 3];
      ends[next[a]++] = faces[3 * f + (k + 2) % 3];
    }
  int32_t filled = 0;
  for (int64_t v = 0; v < num_verts; ++v) {
    offsets[v] = filled;
    std::sort(ends.begin() + first[v], ends.begin() + first[v + 1]);
    int32_t before = -1;
    for (int64_t i = first[v]; i < first[v + 1]; ++i) {
      if (ends[i] == before || ends[i] == v) continue;
      before = ends[i];
      neighbours[filled++] = before;
    }
  }
  offsets[num_verts] = filled;
  std::fill(neighbours + filled, neighbours + 6 * num_faces, -1);
}

void nested_dissection(const int32_t* offsets, const int32_t* neighbours, int32_t* order, int32_t* blocks,
                       int64_t num_verts) {
  Dissector(offsets, neighbours, order, blocks, static_cast<int32_t>(num_verts))
      .dissect(0, static_cast<int32_t>(num_verts), 0);
}

}  // namespace pyface3d::cpu
