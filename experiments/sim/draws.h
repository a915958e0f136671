#pragma once

// Random numbers of the simulator. Each is a function of the seed and of what
// it is for, never of how many were drawn before, so that two policies meet the
// same luck at the same query and a run can be replayed from its seed.

#include <cmath>
#include <cstdint>

#include "base/time.h"

namespace parm::sim {

enum class Purpose : uint64_t {
  kScenario = 1,
  kArrivalGap,
  kQuery,
  kNetwork,
  kService,
  kFate,
  kFault,
  kEncode,
  kDecode,
};

class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(Mix(seed)) {}

  uint64_t Bits(Purpose purpose, uint64_t a, uint64_t b = 0) const {
    return Mix(Mix(Mix(seed_ ^ static_cast<uint64_t>(purpose)) ^ a) ^ b);
  }
  /// Uniform in [0, 1).
  double Unit(Purpose purpose, uint64_t a, uint64_t b = 0) const {
    return static_cast<double>(Bits(purpose, a, b) >> 11) * 0x1p-53;
  }
  bool Happens(double probability, Purpose purpose, uint64_t a,
               uint64_t b = 0) const {
    return Unit(purpose, a, b) < probability;
  }
  /// Uniform in [low, high].
  Duration Between(Duration low, Duration high, Purpose purpose, uint64_t a,
                   uint64_t b = 0) const {
    const auto span = static_cast<double>((high - low).count());
    return low + Duration(static_cast<int64_t>(Unit(purpose, a, b) * span));
  }
  Duration Exponential(Duration mean, Purpose purpose, uint64_t a,
                       uint64_t b = 0) const {
    return FromSeconds(-ToSeconds(mean) * std::log1p(-Unit(purpose, a, b)));
  }

  /// The finaliser of splitmix64.
  static constexpr uint64_t Mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
  }

 private:
  uint64_t seed_;
};

}  // namespace parm::sim
