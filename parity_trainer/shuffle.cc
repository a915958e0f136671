#include "parity_trainer/shuffle.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

namespace parm {
namespace {

constexpr int64_t kHoldOutDraw = -2;  // no epoch has this number

}  // namespace

std::vector<int64_t> ShuffledIndices(int64_t count, uint64_t seed,
                                     int64_t epoch) {
  // A golden-ratio step between epochs keeps (seed, epoch) pairs apart.
  std::mt19937_64 random(seed + 0x9E3779B97F4A7C15ULL *
                                    (static_cast<uint64_t>(epoch) + 1));
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (size_t i = order.size(); i > 1; --i) {
    // The bias of the remainder is below 2^-40 for any data set in memory.
    std::swap(order[i - 1], order[random() % i]);
  }
  return order;
}

std::vector<int64_t> HeldOutSplit::EpochOrder(uint64_t seed,
                                              int64_t epoch) const {
  std::vector<int64_t> order =
      ShuffledIndices(static_cast<int64_t>(rest.size()), seed, epoch);
  for (int64_t& index : order) index = rest[static_cast<size_t>(index)];
  return order;
}

uint64_t StepSeed(uint64_t seed, int64_t epoch, int64_t first_example) {
  // The finaliser of SplitMix64, so that neighbours share no bits.
  uint64_t mixed = seed ^ static_cast<uint64_t>(epoch) << 40 ^
                   static_cast<uint64_t>(first_example) << 8;
  for (const uint64_t factor : {0xBF58476D1CE4E5B9ULL, 0x94D049BB133111EBULL}) {
    mixed = (mixed ^ mixed >> 29) * factor;
  }
  return mixed ^ mixed >> 31;
}

HeldOutSplit HoldOut(int64_t count, int64_t num_held_out, uint64_t seed) {
  const std::vector<int64_t> order = ShuffledIndices(count, seed, kHoldOutDraw);
  const auto cut = order.begin() + static_cast<std::ptrdiff_t>(num_held_out);
  HeldOutSplit split = {.rest = {cut, order.end()},
                        .held_out = {order.begin(), cut}};
  std::sort(split.rest.begin(), split.rest.end());
  return split;
}

}  // namespace parm
