#pragma once

// Barycentric rational interpolation: the mathematics of training-free codes
// (berrut_code.h). A function known at some nodes is
//
//   u(z) = sum_i w_i / (z - x_i) * u(x_i)  /  sum_i w_i / (z - x_i)
//
// and what makes a method is its nodes and its weights. None of those here has
// a pole between its nodes. Offline only: no query's path comes here.

#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "encoder/matrix.h"

namespace parm {

/// cos((2i + 1) pi / (2 count)), i = 0..count-1: Chebyshev's first kind,
/// strictly inside (-1, 1), in descending order.
std::vector<double> FirstKindNodes(int count);

/// cos(i pi / (count - 1)): second kind, with both ends. Needs: count >= 2.
std::vector<double> SecondKindNodes(int count);

/// Weights alternate in sign along the nodes; the families differ in size.
enum class WeightFamily {
  kBerrut1,          ///< All 1. Reproduces constants.
  kBerrut2,          ///< The two ends halved.
  kFloaterHormann1,  ///< Blends of polynomials of degree 1, which it
                     ///< reproduces.
  kFloaterHormann2,
  kFloaterHormann3,
};

/// "berrut-1" and so on, for reports.
absl::string_view WeightFamilyName(WeightFamily family);

/// One weight per node, for these nodes alone: signs alternate along what is
/// given, so survivors of a larger set get weights of their own. Too few nodes
/// for a degree: the highest that they allow.
/// Needs: at least one node, strictly descending.
/// Source: Berrut 1988; Floater and Hormann 2007.
std::vector<double> BarycentricWeights(absl::Span<const double> nodes,
                                       WeightFamily family);

/// targets x nodes: row i gives u(targets[i]) from the values at the nodes.
/// Each row sums to 1. A target on a node has the unit row, the limit there.
/// Needs: as BarycentricWeights.
Matrix InterpolationMatrix(absl::Span<const double> nodes,
                           absl::Span<const double> targets,
                           WeightFamily family);

}  // namespace parm
