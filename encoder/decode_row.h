#pragma once

// One row of the decode matrix D_F: with which weights the outputs that arrived
// add up to one that is missing. Solved in double when a code is created, for
// every arrival pattern; see linear_decoder.h for how it is applied.

#include <array>
#include <optional>

#include "encoder/code.h"
#include "encoder/matrix.h"

namespace parm {

/// One weight per output slot of a group of n members: n members, then r
/// parities. Zero: that output is not used.
struct DecodeRow {
  std::array<double, kMaxMembers + kMaxParities> weights = {};
  /// Sum of the weights' absolute values, which is the row's noise gain.
  double noise_gain = 0;
};

/// The row for member `lost`, or nullopt if what arrived does not determine it.
///
/// With A the r x n answer coefficients, M the missing members and P the
/// arrived parities, weights w over P must satisfy w A[P,M] = e_lost; an
/// arrived member i then gets -w A[P,i]. Where there are several such w, the
/// one with the smallest sum of squares is taken: parity models err, each for
/// itself, and what arrived of the members is exact.
/// Needs: answer is r x n with n <= kMaxMembers, r <= kMaxParities;
///        0 <= lost < n. `arrived` has n + r bits; that of `lost` is ignored.
/// Cost:  at most 2^r eliminations of systems no larger than n x r.
std::optional<DecodeRow> SolveDecodeRow(const Matrix& answer,
                                        ArrivalMask arrived, int lost);

}  // namespace parm
