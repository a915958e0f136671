#pragma once

// Marks on branches that ordinary runs seldom take. Each core counts its own,
// on those branches alone, so the ordinary path pays nothing; the simulator's
// test asserts that every mark was reached over its seeds.

#include <array>
#include <cstddef>
#include <cstdint>

namespace parm::core {

enum class RarePath : uint8_t {
  kShedQueries,
  kShedBytes,
  kShedTableFull,
  kShedDraining,
  kNoWorkerAtOnce,
  kNoWorkerAtDeadline,
  kBatchWaited,
  kBatchEmptiedBeforeDispatch,
  kReplyUnknown,
  kReplyAfterAnswer,
  kWorkerLost,
  kWorkerRestarted,
  kWorkerSilent,
  kSilenceExcused,
  kWorkerHeardAgain,
  kRetrySent,
  kSecondLoss,
  kRetryableError,
  kPermanentError,
  kTaskNotSent,
  kTaskForgottenByWorker,
  kTaskSlotGivenUp,
  kTaskRecordGivenUp,
  kGroupKeptApart,
  kGroupShortPadded,
  kGroupUnprotected,
  kGroupNeedsNoParity,
  kEncodeFailed,
  kEncodedTooLate,
  kParityWaited,
  kParityUnplaced,
  kParityRetried,
  kParityCancelled,
  kDecodeRefused,
  kDecodeUnused,
  kDecodeAfterGroup,
  kReconstructedFast,
  kReconstructedAtTrigger,
  kReconstructedAtDeadline,
  kReconstructedForLackOfBetter,
  kReconstructionHeld,
  kBelowFloor,
  kDefaultAnswer,
  kObserved,
  kLoserLeftToFinish,
  kOriginalCancelled,
  kLateOriginalCompared,
  kGroupLingered,
  kLingererEvicted,
  kNumRarePaths,
};

inline constexpr size_t kNumRarePaths =
    static_cast<size_t>(RarePath::kNumRarePaths);

class RarePaths {
 public:
  void Mark(RarePath path) { ++hits_[static_cast<size_t>(path)]; }
  uint64_t hits(RarePath path) const {
    return hits_[static_cast<size_t>(path)];
  }

 private:
  std::array<uint64_t, kNumRarePaths> hits_{};
};

}  // namespace parm::core
