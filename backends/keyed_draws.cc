#include "backends/keyed_draws.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace parm {
namespace {

// The finalizer of splitmix64: every input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

// FNV-1a: the same on every machine, as std::hash is not.
uint64_t HashText(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  }
  return hash;
}

}  // namespace

KeyedDraws::KeyedDraws(uint64_t seed, absl::string_view worker_id)
    : key_(Mix(Mix(seed) ^ HashText(worker_id))) {}

uint64_t KeyedDraws::Bits(Luck luck, DrawKind kind, uint32_t index) const {
  const uint64_t what = (static_cast<uint64_t>(kind) << 32) | index;
  return Mix(Mix(key_ ^ Raw(luck)) ^ what);
}

double KeyedDraws::Uniform(Luck luck, DrawKind kind, uint32_t index) const {
  // 53 bits fill a double's mantissa.
  return static_cast<double>(Bits(luck, kind, index) >> 11) * 0x1.0p-53;
}

double KeyedDraws::ClippedNormal(Luck luck, DrawKind kind) const {
  // Box-Muller; 1 - u keeps the logarithm's argument above 0.
  const double radius = std::sqrt(-2 * std::log(1 - Uniform(luck, kind, 0)));
  const double angle = 2 * std::numbers::pi * Uniform(luck, kind, 1);
  return std::clamp(radius * std::cos(angle), -3.0, 3.0);
}

}  // namespace parm
