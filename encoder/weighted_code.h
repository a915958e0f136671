#pragma once

// Scheme `weighted`: the sum code with several parities. Each parity query is
// another weighted sum of the members, its model answers the members' outputs
// summed with the same weights, and the weights are such that any k of the k +
// r outputs determine all.
//
// Source: Kosaian et al., "Parity Models", SOSP'19, section 3.5, apart from one
// choice: there all r models get the plain sum and only their targets differ. A
// sum does not tell its members apart, so no model can learn such targets
// (README.md has figures).

#include "encoder/matrix.h"
#include "encoder/scheme.h"

namespace parm {

/// r = 1 or 2 with k = 2..8, r = 3 with k = 2..4; members as scheme `sum`.
extern const CodeScheme kWeightedScheme;

/// r x k. Row 0 is all ones, so its model is that of `sum`; every row has that
/// row's energy (squares add up to k).
/// Needs: kWeightedScheme.supports(k, r).
Matrix WeightedCoefficients(int k, int r);

}  // namespace parm
