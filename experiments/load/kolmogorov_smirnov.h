#pragma once

// Whether numbers look drawn from a law: the one-sample test of Kolmogorov and
// Smirnov. parm-load puts its own send times to it.

#include <vector>

namespace parm {

struct KsResult {
  double distance = 0;     // largest gap between sample and law
  double probability = 1;  // of a distance like this or larger, if it is so
};

/// Tests that `values` are uniform in [0, 1]; the law's own distribution
/// function makes them so. Values outside are clamped.
/// Source: Smirnov's limit, with Stephens' correction for finite samples
/// (J. Royal Stat. Soc. B 32, 1970); good from some ten values on.
/// Needs: at least one value.
KsResult TestUniform(std::vector<double> values);

}  // namespace parm
