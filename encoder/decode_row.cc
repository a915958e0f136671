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

// The row that uses exactly these parities, if there is one and only one: a
// solution that is not unique is found again with fewer parities.
std::optional<DecodeRow> SolveWithParities(const Matrix& answer,
                                           const SlotList& missing,
                                           const SlotList& parities, int lost) {
  if (parities.size > missing.size) return std::nullopt;
  Matrix system(missing.size, parities.size + 1);
  for (int i = 0; i < missing.size; ++i) {
    for (int p = 0; p < parities.size; ++p) {
      system.at(i, p) = answer.at(parities[p], missing[i]);
    }
    system.at(i, parities.size) = missing[i] == lost ? 1 : 0;
  }
  if (!SolveInPlace(system, kTolerance * LargestCoefficient(answer))) {
    return std::nullopt;
  }

  DecodeRow row;
  const int num_members = answer.num_columns();
  for (int p = 0; p < parities.size; ++p) {
    const double weight = system.at(p, parities.size);
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
  for (ArrivalMask subset = 1; subset <= arrived_parities; ++subset) {
    if ((subset & ~arrived_parities) != 0) continue;
    SlotList parities;
    for (int p = 0; p < answer.num_rows(); ++p) {
      if (Has(subset, p)) parities.Add(p);
    }
    std::optional<DecodeRow> row =
        SolveWithParities(answer, missing, parities, lost);
    // The factor keeps rounding from choosing between equals.
    if (row.has_value() &&
        (!best.has_value() || row->noise_gain < best->noise_gain * 0.999999)) {
      best = row;
    }
  }
  return best;
}

}  // namespace parm
