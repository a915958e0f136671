#include "encoder/interpolation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <optional>

namespace parm {
namespace {

// Nodes of order 1 and at most a few dozen: closer is the same node.
constexpr double kSameNode = 1e-12;

// Degree of the polynomials that Floater and Hormann blend; 0 is Berrut's
// first.
int DegreeOf(WeightFamily family) {
  switch (family) {
    case WeightFamily::kBerrut1:
    case WeightFamily::kBerrut2:
      return 0;
    case WeightFamily::kFloaterHormann1:
      return 1;
    case WeightFamily::kFloaterHormann2:
      return 2;
    case WeightFamily::kFloaterHormann3:
      return 3;
  }
  return 0;
}

// Sum over the blended polynomials through node `i` of its weight in them.
double FloaterHormannSize(absl::Span<const double> nodes, int degree, int i) {
  const int last = static_cast<int>(nodes.size()) - 1;
  double sum = 0;
  for (int first = std::max(0, i - degree); first <= std::min(i, last - degree);
       ++first) {
    double product = 1;
    for (int s = first; s <= first + degree; ++s) {
      if (s == i) continue;
      product /= std::abs(nodes[static_cast<size_t>(i)] -
                          nodes[static_cast<size_t>(s)]);
    }
    sum += product;
  }
  return sum;
}

std::optional<size_t> NodeAt(absl::Span<const double> nodes, double target) {
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (std::abs(target - nodes[i]) < kSameNode) return i;
  }
  return std::nullopt;
}

}  // namespace

std::vector<double> FirstKindNodes(int count) {
  std::vector<double> nodes;
  for (int i = 0; i < count; ++i) {
    nodes.push_back(std::cos((2 * i + 1) * std::numbers::pi / (2 * count)));
  }
  return nodes;
}

std::vector<double> SecondKindNodes(int count) {
  std::vector<double> nodes;
  for (int i = 0; i < count; ++i) {
    nodes.push_back(std::cos(i * std::numbers::pi / (count - 1)));
  }
  return nodes;
}

absl::string_view WeightFamilyName(WeightFamily family) {
  switch (family) {
    case WeightFamily::kBerrut1:
      return "berrut-1";
    case WeightFamily::kBerrut2:
      return "berrut-2";
    case WeightFamily::kFloaterHormann1:
      return "floater-hormann-1";
    case WeightFamily::kFloaterHormann2:
      return "floater-hormann-2";
    case WeightFamily::kFloaterHormann3:
      return "floater-hormann-3";
  }
  return "";
}

std::vector<double> BarycentricWeights(absl::Span<const double> nodes,
                                       WeightFamily family) {
  const int count = static_cast<int>(nodes.size());
  const int degree = std::min(DegreeOf(family), count - 1);
  std::vector<double> weights;
  for (int i = 0; i < count; ++i) {
    double size = FloaterHormannSize(nodes, degree, i);
    const bool is_end = i == 0 || i == count - 1;
    if (family == WeightFamily::kBerrut2 && is_end) size /= 2;
    weights.push_back(i % 2 == 0 ? size : -size);
  }
  return weights;
}

Matrix InterpolationMatrix(absl::Span<const double> nodes,
                           absl::Span<const double> targets,
                           WeightFamily family) {
  const std::vector<double> weights = BarycentricWeights(nodes, family);
  const int num_nodes = static_cast<int>(nodes.size());
  Matrix matrix(static_cast<int>(targets.size()), num_nodes);
  for (int row = 0; row < matrix.num_rows(); ++row) {
    const double target = targets[static_cast<size_t>(row)];
    if (const std::optional<size_t> node = NodeAt(nodes, target)) {
      matrix.at(row, static_cast<int>(*node)) = 1;
      continue;
    }
    double sum = 0;
    for (int i = 0; i < num_nodes; ++i) {
      const auto index = static_cast<size_t>(i);
      matrix.at(row, i) = weights[index] / (target - nodes[index]);
      sum += matrix.at(row, i);
    }
    for (int i = 0; i < num_nodes; ++i) matrix.at(row, i) /= sum;
  }
  return matrix;
}

}  // namespace parm
