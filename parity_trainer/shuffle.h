#pragma once

// Seeded orders of samples. Own code, because the library's distributions may
// differ between versions and a checkpoint must find the same order again.

#include <cstdint>
#include <vector>

namespace parm {

/// A permutation of 0 .. count-1 that depends on seed and epoch alone.
std::vector<int64_t> ShuffledIndices(int64_t count, uint64_t seed,
                                     int64_t epoch);

}  // namespace parm
