#pragma once

// Seeded orders of samples. Own code, because the library's distributions may
// differ between versions and a checkpoint must find the same order again.

#include <cstdint>
#include <vector>

namespace parm {

/// A permutation of 0 .. count-1 that depends on seed and epoch alone.
std::vector<int64_t> ShuffledIndices(int64_t count, uint64_t seed,
                                     int64_t epoch);

/// 0 .. count-1 in two parts, drawn from the seed: what is learned from, and
/// what is held out.
struct HeldOutSplit {
  std::vector<int64_t> rest;
  std::vector<int64_t> held_out;

  /// `rest` in the order of an epoch.
  std::vector<int64_t> EpochOrder(uint64_t seed, int64_t epoch) const;
};
/// Needs: 0 <= num_held_out <= count.
HeldOutSplit HoldOut(int64_t count, int64_t num_held_out, uint64_t seed);

/// A seed for what is drawn in the step of an epoch that begins at an example.
uint64_t StepSeed(uint64_t seed, int64_t epoch, int64_t first_example);

}  // namespace parm
