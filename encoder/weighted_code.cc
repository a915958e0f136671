#include "encoder/weighted_code.h"

#include <array>
#include <cstddef>

#include "base/status_macros.h"
#include "encoder/linear_code.h"

namespace parm {
namespace {

bool WeightedTakes(int k, int r) {
  if (r == 3) return k >= 2 && k <= 4;
  return (r == 1 || r == 2) && k >= 2 && k <= 8;
}

// Coefficients after the row of ones, found by random search (hundreds
// of starts, steps that shrink while none helps) for the smallest noise gain in
// the worst case: any losses, any parities that just suffice, any group size.
// At equal energy powers of 1..k come out a third (r = 2) to four times (r = 3)
// worse, and rows without a negative weight a tenth to a third.
using Row = std::array<double, 8>;
constexpr std::array<Row, 7> kSecondOfTwo = {{
    {0.799, -1.167},
    {1.505, -0.606, 0.606},
    {-1.347, 1.284, 0.491, -0.545},
    {-1.614, -0.416, 0.416, 1.107, -0.907},
    {-0.357, -1.745, 0.357, 0.941, -1.143, -0.713},
    {-0.320, 0.320, 1.099, 1.683, -1.324, 0.671, -0.744},
    {-0.669, 0.889, 0.570, 1.802, -1.182, 1.278, 0.285, -0.285},
}};
constexpr std::array<std::array<Row, 2>, 3> kLastOfThree = {{
    {{{0.799, -1.167}, {-1.167, 0.799}}},
    {{{1.534, -0.54, 0.597}, {0.551, -0.713, -1.479}}},
    {{{1.45, 0.434, -0.442, -1.231}, {0.433, -1.358, -0.673, 1.231}}},
}};

std::unique_ptr<const Code> CreateWeighted(const CodeSpec& spec) {
  return std::make_unique<LinearCode>(spec,
                                      WeightedCoefficients(spec.k, spec.r));
}

}  // namespace

Matrix WeightedCoefficients(int k, int r) {
  PARM_CHECK(WeightedTakes(k, r));
  Matrix coefficients(r, k, 1);
  const auto size = static_cast<size_t>(k - 2);
  for (int p = 1; p < r; ++p) {
    const Row& row = r == 2 ? kSecondOfTwo[size]
                            : kLastOfThree[size][static_cast<size_t>(p - 1)];
    for (int slot = 0; slot < k; ++slot) {
      coefficients.at(p, slot) = row[static_cast<size_t>(slot)];
    }
  }
  return coefficients;
}

const CodeScheme kWeightedScheme = {
    .name = "weighted",
    .takes = "r = 1 or 2 with k = 2..8, or r = 3 with k = 2..4",
    .supports = WeightedTakes,
    .create = CreateWeighted};

}  // namespace parm
