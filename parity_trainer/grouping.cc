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
// Enough to tell how far blocks lie apart; in each of them enough groups of
// either half that samples meet others in every grouping.
constexpr int64_t kMaxBlocks = 50;
constexpr int64_t kLeastBlocks = 4;
constexpr int64_t kGroupsOfBlock = 16;
constexpr uint64_t kSeed = 1;

int64_t NumGroups(int64_t num_samples, int64_t k) {
  PARM_CHECK(k > 0 && num_samples >= k);
  return (num_samples + k - 1) / k;
}

int64_t NumBlocks(int64_t num_groups) {
  return std::min(num_groups, std::clamp(num_groups / kGroupsOfBlock,
                                         kLeastBlocks, kMaxBlocks));
}

}  // namespace

int NumGroupings(int64_t num_samples) {
  PARM_CHECK(num_samples > 0);
  return static_cast<int>(std::clamp(kEnoughReconstructions / num_samples,
                                     int64_t{1}, kMaxGroupings));
}

Grouping::Grouping(int64_t num_samples, int64_t k, int number)
    : k_(k),
      num_groups_(NumGroups(num_samples, k)),
      num_blocks_(NumBlocks(num_groups_)),
      first_id_(number * (num_groups_ + num_groups_ % 2)),
      samples_(static_cast<size_t>(num_samples)) {
  PARM_CHECK(number >= 0);
  std::iota(samples_.begin(), samples_.end(), int64_t{0});
  if (number == 0) return;
  // Of each block the places in even groups, then those in odd ones.
  std::vector<std::vector<int64_t>> parts(static_cast<size_t>(2 * num_blocks_));
  for (int64_t place = 0; place < num_samples; ++place) {
    const int64_t group = place / k;
    parts[static_cast<size_t>(2 * BlockOf(group) + group % 2)].push_back(place);
  }
  auto epoch = static_cast<int64_t>(parts.size()) * number;
  for (const std::vector<int64_t>& places : parts) {
    const std::vector<int64_t> order =
        ShuffledIndices(static_cast<int64_t>(places.size()), kSeed, epoch++);
    for (size_t i = 0; i < places.size(); ++i) {
      samples_[static_cast<size_t>(places[i])] =
          places[static_cast<size_t>(order[i])];
    }
  }
}

int64_t Grouping::BlockOf(int64_t group) const {
  return group * num_blocks_ / num_groups_;
}

int64_t Grouping::SampleAt(int64_t group, int64_t slot) const {
  if (IsFiller(group, slot)) {
    return SampleAt(group >= 2 ? group - 2 : 0, slot);
  }
  return samples_[static_cast<size_t>(group * k_ + slot)];
}

bool Grouping::IsFiller(int64_t group, int64_t slot) const {
  return group * k_ + slot >= static_cast<int64_t>(samples_.size());
}

int64_t Grouping::IdOf(int64_t group) const { return first_id_ + group; }

}  // namespace parm
