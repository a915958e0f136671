#pragma once

// A small seeded generator whose numbers are the same on every machine and
// library, so that a seed replays a schedule exactly.

#include <cstdint>

namespace parm {

/// SplitMix64 (Steele, Lea, Flood, OOPSLA'14). Not for secrets.
class SeededRandom {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  /// Uniform in (0, 1]: never zero, so that its logarithm is finite.
  double NextUnit() {
    return static_cast<double>((Next() >> 11) + 1) * 0x1.0p-53;
  }

  /// Uniform in [0, bound), up to a bias of bound / 2^64. Needs: bound > 0.
  uint64_t NextBelow(uint64_t bound) { return Next() % bound; }

 private:
  uint64_t state_;
};

}  // namespace parm
