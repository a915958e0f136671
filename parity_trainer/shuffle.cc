#include "parity_trainer/shuffle.h"

#include <numeric>
#include <random>
#include <utility>

namespace parm {

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

}  // namespace parm
