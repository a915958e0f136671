#pragma once

// Scheme `weighted`: ParM's code with several parities. All r parity queries
// are one and the same, the plain sum of the members; the r parity models have
// different targets, independent weighted sums of the members' outputs, so that
// any k of the k + r outputs determine all.
//
// Source: Kosaian et al., "Parity Models", SOSP'19, section 3.5.

#include "encoder/matrix.h"
#include "encoder/scheme.h"

namespace parm {

/// r = 1 or 2 with k = 2..8, r = 3 with k = 2..4; members as scheme `sum`.
extern const CodeScheme kWeightedScheme;

/// What the parity models answer: r x k. Row 0 is all ones, so its model is
/// that of `sum`; every row has that row's energy (squares add up to k).
/// Needs: kWeightedScheme.supports(k, r).
Matrix WeightedAnswerCoefficients(int k, int r);

}  // namespace parm
