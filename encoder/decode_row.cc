#include "encoder/decode_row.h"

#include <bit>
#include <cmath>
#include <utility>

namespace parm {
namespace {

// Coefficients are small integers or of order 1, and at most four unknowns are
// solved for: a pivot or a residual below this share of the largest
// coefficient is rounding, not information.
constexpr double kTolerance = 1e-9;

// Slots in ascending order.
struct SlotList {
  std::array<int, kMaxMembers> slots;
  int size = 0;

  void Add(int slot) { slots[static_cast<size_t>(size++)] = slot; }
  int operator[](int index) const { return slots[static_cast<size_t>(index)]; }
};

using ParityWeights = std::array<double, kMaxParities>;

bool Has(ArrivalMask mask, int bit) { return ((mask >> bit) & 1U) != 0; }

double LargestCoefficient(const Matrix& matrix) {
  double largest = 0;
  for (int row = 0; row < matrix.num_rows(); ++row) {
    for (int column = 0; column < matrix.num_columns(); ++column) {
      largest = std::max(largest, std::abs(matrix.at(row, column)));
    }
  }
  return largest;
}

void SwapRows(Matrix& system, int a, int b) {
  for (int column = 0; column < system.num_columns(); ++column) {
    std::swap(system.at(a, column), system.at(b, column));
  }
}

// Reduces the augmented system [equations | right-hand side] to the identity
// by Gauss-Jordan elimination. False if the solution is not unique or does not
// exist. There may be more equations than unknowns.
bool SolveInPlace(Matrix& system, double tolerance) {
  const int num_unknowns = system.num_columns() - 1;
  for (int unknown = 0; unknown < num_unknowns; ++unknown) {
    int pivot = unknown;
    for (int row = unknown + 1; row < system.num_rows(); ++row) {
      if (std::abs(system.at(row, unknown)) >
          std::abs(system.at(pivot, unknown))) {
        pivot = row;
      }
    }
    if (std::abs(system.at(pivot, unknown)) <= tolerance) return false;
    SwapRows(system, pivot, unknown);
    const double scale = 1 / system.at(unknown, unknown);
    for (int column = unknown; column <= num_unknowns; ++column) {
      system.at(unknown, column) *= scale;
    }
    for (int row = 0; row < system.num_rows(); ++row) {
      const double factor = system.at(row, unknown);
      if (row == unknown || factor == 0) continue;
      for (int column = unknown; column <= num_unknowns; ++column) {
        system.at(row, column) -= factor * system.at(unknown, column);
      }
    }
  }
  for (int row = num_unknowns; row < system.num_rows(); ++row) {
    if (std::abs(system.at(row, num_unknowns)) > kTolerance) return false;
  }
  return true;
}

// How the answers of these parities combine to the lost output, or nullopt if
// in no way, or in several of fewer parities. More parities than missing
// members combine in many ways: in that with the smallest sum of squares, which
// is w = B' y with B B' y = e_lost, where B is the missing members' part of
// `answer`.
std::optional<ParityWeights> SolveWeights(const Matrix& answer,
                                          const SlotList& missing,
                                          const SlotList& parities, int lost) {
  const bool many = parities.size > missing.size;
  const int num_unknowns = many ? missing.size : parities.size;
  Matrix system(missing.size, num_unknowns + 1);
  for (int i = 0; i < missing.size; ++i) {
    for (int j = 0; j < num_unknowns; ++j) {
      if (!many) system.at(i, j) = answer.at(parities[j], missing[i]);
      for (int p = 0; many && p < parities.size; ++p) {
        system.at(i, j) += answer.at(parities[p], missing[i]) *
                           answer.at(parities[p], missing[j]);
      }
    }
    system.at(i, num_unknowns) = missing[i] == lost ? 1 : 0;
  }
  const double largest = LargestCoefficient(answer);
  if (!SolveInPlace(system, kTolerance * (many ? largest : 1) * largest)) {
    return std::nullopt;
  }
  ParityWeights weights = {};
  for (int p = 0; p < parities.size; ++p) {
    double& weight = weights[static_cast<size_t>(p)];
    if (!many) weight = system.at(p, num_unknowns);
    for (int i = 0; many && i < missing.size; ++i) {
      weight += system.at(i, num_unknowns) * answer.at(parities[p], missing[i]);
    }
  }
  return weights;
}

double SumOfSquares(const ParityWeights& weights) {
  double sum = 0;
  for (const double weight : weights) sum += weight * weight;
  return sum;
}

DecodeRow RowOf(const Matrix& answer, const SlotList& missing,
                const SlotList& parities, const ParityWeights& weights) {
  DecodeRow row;
  const int num_members = answer.num_columns();
  for (int p = 0; p < parities.size; ++p) {
    const double weight = weights[static_cast<size_t>(p)];
    row.weights[static_cast<size_t>(num_members + parities[p])] = weight;
    for (int member = 0; member < num_members; ++member) {
      row.weights[static_cast<size_t>(member)] -=
          weight * answer.at(parities[p], member);
    }
  }
  // By construction zero up to rounding (and -1 for the lost one itself).
  for (int i = 0; i < missing.size; ++i) {
    row.weights[static_cast<size_t>(missing[i])] = 0;
  }
  for (double weight : row.weights) row.noise_gain += std::abs(weight);
  return row;
}

}  // namespace

std::optional<DecodeRow> SolveDecodeRow(const Matrix& answer,
                                        ArrivalMask arrived, int lost) {
  const int num_members = answer.num_columns();
  SlotList missing;
  for (int member = 0; member < num_members; ++member) {
    if (member == lost || !Has(arrived, member)) missing.Add(member);
  }
  const ArrivalMask arrived_parities =
      (arrived >> num_members) & ((1U << answer.num_rows()) - 1);

  std::optional<DecodeRow> best;
  double smallest = 0;
  for (ArrivalMask subset = 1; subset <= arrived_parities; ++subset) {
    if ((subset & ~arrived_parities) != 0) continue;
    SlotList parities;
    for (int p = 0; p < answer.num_rows(); ++p) {
      if (Has(subset, p)) parities.Add(p);
    }
    const std::optional<ParityWeights> weights =
        SolveWeights(answer, missing, parities, lost);
    if (!weights.has_value()) continue;
    const double squares = SumOfSquares(*weights);
    // The factor keeps rounding from choosing between equals.
    if (best.has_value() && squares >= smallest * 0.999999) continue;
    smallest = squares;
    best = RowOf(answer, missing, parities, *weights);
  }
  return best;
}

}  // namespace parm
