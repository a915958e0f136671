#pragma once

// What the core remembers: queries, the batches they travel in, the tasks sent
// to workers, and the coding groups that protect batches. Records live in slabs
// and point at each other; none owns another, and whoever frees one clears the
// pointers to it.
//
//   Query --n:1--> Batch --n:1--> Group --1:r--> Parity
//                    |1:copies                     |1:1
//                   Task                          Task

#include <array>
#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "base/time.h"
#include "encoder/code.h"
#include "frontend/core/action.h"
#include "frontend/core/event.h"
#include "frontend/core/intrusive_list.h"
#include "frontend/core/latency_trigger.h"
#include "frontend/core/slab.h"
#include "frontend/core/timer_queue.h"

namespace parm::core {

struct Batch;
struct Bundle;
struct Group;
struct Parity;

inline constexpr WorkerId kNoWorker{0xffffffffU};

struct Query : SlabItem {
  QueryId id{};
  ModelId model{};
  uint64_t number = 0;  // among the model's arrivals; see luck.h
  AnswerMode mode = AnswerMode::kBalanced;
  bool open = true;  // neither answered nor abandoned
  bool observed = false;
  bool further_attempt = false;  // of a proxy's: no extra work
  uint32_t samples = 1;
  uint32_t first_sample = 0;  // in the batch, from its first dispatch on
  uint64_t bytes = 0;
  BufferId input{};
  Time arrived{};
  Time deadline{};
  TimerHandle timer{};
  Batch* batch = nullptr;
  Link<Query> in_batch;
};

/// Whether a task of this kind is extra work; a retry is the query's own.
constexpr bool IsExtra(AttemptType attempt) {
  return attempt == AttemptType::kHedge || attempt == AttemptType::kParity;
}

/// A task on its way to, at, or from a worker. It outlives whom it was for
/// (both pointers null), as it still takes a slot of the worker.
struct Task : SlabItem {
  WorkerId worker{};
  ModelId model{};
  AttemptType attempt = AttemptType::kOriginal;
  bool redundant = false;
  bool holds_slot = true;
  bool cancelled = false;
  bool left_to_finish = false;  // a loser that the ledger wants to see
  bool queued = false;          // all lanes had work when it was sent
  uint32_t samples = 1;
  Time deadline{};
  Time begun{};  // its worker said so; the epoch: it did not
  TimerHandle timer{};
  Batch* batch = nullptr;    // the member it answers for, or
  Parity* parity = nullptr;  // the parity query that it carries
  LatencyTrigger* trigger = nullptr;
  LatencyTrigger::Copy copy;
  // What the policy's budget paid for it, to be settled when it ends; nullopt:
  // nothing is settled.
  std::optional<Duration> charged;
  Link<Task> on_worker;
};

inline constexpr size_t kMaxCopies = 4;

enum class BatchStage : uint8_t { kForming, kWaiting, kSent };
enum class DecodeStage : uint8_t { kNone, kRunning, kDone, kRefused };

struct Batch : SlabItem {
  ModelId model{};
  BundleKey deployed{};
  uint32_t signature = 0;
  uint32_t samples = 0;
  uint64_t query_number = 0;  // of its first query; see luck.h
  uint32_t num_sent = 0;      // tasks that ever carried it
  BatchStage stage = BatchStage::kForming;
  bool gets_extra = false;  // some query of it may cause extra work
  bool waiting = false;     // for a slot: the first time or with a retry
  bool retried = false;
  bool refused = false;  // a worker's error is final: no further copy
  bool expired = false;  // a worker found its budget spent
  bool late_counted = false;
  bool held_counted = false;
  bool reconstructed = false;  // some query was answered from the decode
  bool got_output = false;
  bool output_decodable = false;
  uint8_t num_copies = 0;
  uint8_t unit = 0;               // as QueryArrived
  uint8_t member = 0;             // position in its group
  uint8_t num_policy_timers = 0;  // that have fired; stays at 255
  bool policy_mark = false;       // the policy's own
  bool hedge_observed = false;    // counted, where hedges are only observed
  AttemptType waiting_attempt = AttemptType::kOriginal;
  DecodeStage decode = DecodeStage::kNone;
  ArrivalMask decode_mask = 0;  // of the last decode
  uint32_t num_open = 0;        // queries without an answer
  uint32_t num_decodable = 0;   // of those, not exact-only
  uint32_t num_queries = 0;
  WorkerId worker = kNoWorker;  // where its latest copy went
  // Where its latest copies went, each at num_sent % kMaxCopies.
  std::array<WorkerId, kMaxCopies> tried = {kNoWorker, kNoWorker, kNoWorker,
                                            kNoWorker};
  WorkerId avoid = kNoWorker;  // where a retry had better not go
  TaskId failed_task{};
  BufferId output{};
  BufferId decoded{};
  std::optional<float> confidence;
  Time waiting_since{};
  Time sent{};          // the first time
  Time trigger{};       // when its answer is late; from its dispatch on
  Time deadline{};      // the latest of its queries
  TimerHandle timer{};  // batch timeout, then decode trigger
  TimerHandle policy_timer{};
  Group* group = nullptr;
  IntrusiveList<Query, &Query::in_batch> queries;
  std::array<Task*, kMaxCopies> copies{};
  Link<Batch> wait;
  Link<Batch> touched;
};

enum class ParityStage : uint8_t {
  kAbsent,
  kEncoding,
  kWaiting,
  kSent,
  kArrived,
  kGone,
};

struct Parity {
  Group* group = nullptr;
  uint8_t index = 0;
  uint8_t priority = 1;
  uint32_t num_sent = 0;  // tasks that ever carried it
  ParityStage stage = ParityStage::kAbsent;
  bool retried = false;
  bool output_decodable = false;
  BundleRole role = BundleRole::kParity;  // of the bundle that it was sent to
  WorkerId worker = kNoWorker;
  Duration charged{0};  // while no task has taken that over
  BufferId query{};
  uint64_t bytes = 0;
  BufferId output{};
  Task* task = nullptr;
  Bundle* bundle = nullptr;  // while it waits there
  Link<Parity> wait;
};

/// Batches that may be coded together.
struct LayoutKey {
  ModelId model{};
  BundleKey deployed{};
  uint32_t signature = 0;
  uint32_t samples = 0;  // 0 in the batcher, whose batches still grow
  uint8_t unit = 0;
  bool operator==(const LayoutKey&) const = default;
};

struct Group : SlabItem {
  LayoutKey key;
  uint64_t query_number = 0;  // of its first member
  bool open = true;           // takes members
  uint8_t num_members = 0;
  uint8_t decodes_running = 0;
  uint8_t encodes_running = 0;
  Time deadline{};  // the latest of its members
  TimerHandle timer{};
  std::array<Batch*, kMaxMembers> members{};
  std::array<Parity, kMaxParities> parities{};
  uint8_t num_parities = 0;
  Group* younger = nullptr;  // open too, of the same layout
  Link<Group> touched;
  Link<Group> lingering;
};

}  // namespace parm::core
