// csrc/cpu/aggregation.cpp -- greedy aggregation (Vanek, Mandel and Brezina 1996, first two passes): a node with all
// its neighbours where none of them is taken yet; then whoever is left joins the aggregate it has most edges to.
#include "cpu/aggregation.h"

#include <algorithm>
#include <vector>

#include "core/hierarchy.h"

namespace pyface3d::cpu {
namespace {

constexpr int64_t kCoarsest = 24;  // nodes of a level that is not worth a coarser one

struct Graph {
  std::vector<int32_t> offsets, neighbours;
  int64_t size() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

// Of every node its aggregate; -1 for one without edges, which a smoother solves alone. Returns how many.
int32_t gather(const Graph& graph, std::vector<int32_t>& aggregate_of) {
  const int64_t n = graph.size();
  int32_t count = 0;
  aggregate_of.assign(n, -1);
  const auto around = [&](int64_t v, const auto& body) {
    for (int32_t k = graph.offsets[v]; k < graph.offsets[v + 1]; ++k) body(graph.neighbours[k]);
  };
  for (int64_t v = 0; v < n; ++v) {
    bool free = aggregate_of[v] < 0 && graph.offsets[v + 1] > graph.offsets[v];
    around(v, [&](int32_t w) { free &= aggregate_of[w] < 0; });
    if (!free) continue;
    aggregate_of[v] = count;
    around(v, [&](int32_t w) { aggregate_of[w] = count; });
    ++count;
  }
  const std::vector<int32_t> before = aggregate_of;
  std::vector<int32_t> votes(count, 0);
  for (int64_t v = 0; v < n; ++v) {
    if (before[v] >= 0) continue;
    int32_t best = -1;
    around(v, [&](int32_t w) {
      const int32_t a = before[w];
      if (a >= 0 && (++votes[a], best < 0 || votes[a] > votes[best])) best = a;
    });
    around(v, [&](int32_t w) {
      if (before[w] >= 0) votes[before[w]] = 0;
    });
    aggregate_of[v] = best;
  }
  return count;
}

Graph coarse_graph(const Graph& graph, const std::vector<int32_t>& aggregate_of, int32_t count) {
  std::vector<std::vector<int32_t>> around(count);
  for (int64_t v = 0; v < graph.size(); ++v)
    for (int32_t k = graph.offsets[v]; k < graph.offsets[v + 1]; ++k) {
      const int32_t a = aggregate_of[v], b = aggregate_of[graph.neighbours[k]];
      if (a != b) around[a].push_back(b);  // a node with an edge is in an aggregate
    }
  Graph coarse;
  coarse.offsets.push_back(0);
  for (auto& list : around) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    coarse.neighbours.insert(coarse.neighbours.end(), list.begin(), list.end());
    coarse.offsets.push_back(static_cast<int32_t>(coarse.neighbours.size()));
  }
  return coarse;
}

}  // namespace

void aggregate(const int32_t* offsets, const int32_t* neighbours, int32_t* hierarchy, int64_t num_verts) {
  const Hierarchy<int32_t> h{hierarchy, num_verts};
  const int64_t room = aggregate_room(num_verts), edge_room = aggregate_edge_room(num_verts);
  std::fill(hierarchy, h.neighbours() + edge_room, -1);
  h.levels() = 0;
  h.first(0) = 0;
  h.first(1) = static_cast<int32_t>(num_verts);
  h.member_offsets()[0] = h.edge_offsets()[0] = 0;
  Graph graph{{offsets, offsets + num_verts + 1}, {neighbours, neighbours + offsets[num_verts]}};
  std::vector<int32_t> aggregate_of, filled;
  int32_t start = 0, members = 0, edges = 0;
  for (int level = 1; level <= kMaxLevels && graph.size() > kCoarsest; ++level) {
    const int32_t count = gather(graph, aggregate_of), next = h.first(level);
    const int32_t base = next - static_cast<int32_t>(num_verts);
    const Graph coarse = coarse_graph(graph, aggregate_of, count);
    if (count == 0 || base + count > room) return;
    if (edges + static_cast<int64_t>(coarse.neighbours.size()) > edge_room) return;
    filled.assign(count + 1, 0);
    for (const int32_t a : aggregate_of)
      if (a >= 0) ++filled[a + 1];
    for (int32_t a = 0; a < count; ++a) {
      filled[a + 1] += filled[a];
      h.member_offsets()[base + a + 1] = members + filled[a + 1];
      h.edge_offsets()[base + a + 1] = edges + coarse.offsets[a + 1];
    }
    const int32_t first_member = members;
    members += filled[count];
    for (int64_t v = 0; v < graph.size(); ++v) {
      const int32_t a = aggregate_of[v];
      if (a < 0) continue;
      h.parents()[start + v] = next + a;
      h.members()[first_member + filled[a]++] = start + static_cast<int32_t>(v);
    }
    for (const int32_t b : coarse.neighbours) h.neighbours()[edges++] = next + b;
    h.levels() = level;
    h.first(level + 1) = next + count;
    start = next;
    graph = coarse;
  }
}

}  // namespace pyface3d::cpu
