#include "parity_trainer/grouping.h"

#include <algorithm>
#include <numeric>

#include "base/status_macros.h"
#include "parity_trainer/shuffle.h"

namespace parm {
namespace {

// Leave a third of what one grouping's luck moves.
constexpr int64_t kMaxGroupings = 8;
constexpr int64_t kEnoughReconstructions = 80'000;
constexpr uint64_t kSeed = 1;

/// Where the samples of even groups are, or those of odd ones.
std::vector<int64_t> PlacesOf(bool odd, int64_t num_samples, int64_t k) {
  std::vector<int64_t> places;
  for (int64_t place = 0; place < num_samples; ++place) {
    if ((place / k % 2 == 1) == odd) places.push_back(place);
  }
  return places;
}

}  // namespace

int NumGroupings(int64_t num_samples) {
  return static_cast<int>(std::clamp(kEnoughReconstructions / num_samples,
                                     int64_t{1}, kMaxGroupings));
}

Grouping::Grouping(int64_t num_samples, int64_t k, int number)
    : k_(k),
      num_groups_((num_samples + k - 1) / k),
      first_id_(number * (num_groups_ + num_groups_ % 2)),
      samples_(static_cast<size_t>(num_samples)) {
  PARM_CHECK(k > 0 && num_samples >= k && number >= 0);
  std::iota(samples_.begin(), samples_.end(), int64_t{0});
  if (number == 0) return;
  for (const bool odd : {false, true}) {
    const std::vector<int64_t> places = PlacesOf(odd, num_samples, k);
    const std::vector<int64_t> order =
        ShuffledIndices(static_cast<int64_t>(places.size()), kSeed,
                        int64_t{2} * number + (odd ? 1 : 0));
    for (size_t i = 0; i < places.size(); ++i) {
      samples_[static_cast<size_t>(places[i])] =
          places[static_cast<size_t>(order[i])];
    }
  }
}

int64_t Grouping::SampleAt(int64_t group, int64_t slot) const {
  const auto place = static_cast<size_t>(group * k_ + slot);
  return samples_[place % samples_.size()];
}

bool Grouping::IsFiller(int64_t group, int64_t slot) const {
  return group * k_ + slot >= static_cast<int64_t>(samples_.size());
}

int64_t Grouping::IdOf(int64_t group) const { return first_id_ + group; }

}  // namespace parm
