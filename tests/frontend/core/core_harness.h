#pragma once

// Drives a FrontendCore by hand on virtual time: short names for events; the
// actions that came out are in `out`.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/time.h"
#include "frontend/core/core_engine.h"
#include "frontend/core/frontend_core.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/action_recorder.h"
#include "tests/frontend/core/test_options.h"

namespace parm::core {

class CoreHarness {
 public:
  explicit CoreHarness(CoreOptions options)
      : options_(options),
        core_(FrontendCore::Create(std::move(options)).value()) {}
  CoreHarness(CoreOptions options, const CoreEngine::PolicyFactory& policy)
      : options_(options),
        core_(std::make_unique<CoreEngine>(std::move(options), policy)) {}

  struct UpOptions {
    bool deployed = true;
    bool parity = false;
    bool backup = false;
    uint32_t domain = 0;
    uint32_t lanes = 1;
    uint32_t max_in_flight = 1;
    uint64_t nonce = 1;
  };
  void Up(uint32_t worker, UpOptions up) {
    std::vector<ServedBundle> bundles;
    if (up.deployed) {
      bundles.push_back({kDeployed, kModel, BundleRole::kDeployed, kDeployed});
    }
    if (up.parity) {
      bundles.push_back({kParity, kModel, BundleRole::kParity, kDeployed});
    }
    if (up.backup) {
      bundles.push_back({kParity, kModel, BundleRole::kBackup, kDeployed});
    }
    Handle(WorkerUp{.worker = WorkerId{worker},
                    .nonce = up.nonce,
                    .fault_domain = up.domain,
                    .lanes = up.lanes,
                    .max_in_flight = up.max_in_flight,
                    .bundles = bundles});
  }

  struct QueryOptions {
    uint32_t signature = 1;
    uint32_t samples = 1;
    Duration deadline = Milliseconds(500);
    AnswerMode mode = AnswerMode::kBalanced;
    uint64_t bytes = 100;
    bool further_attempt = false;
  };
  QueryId Arrive() { return Arrive({}); }
  QueryId Arrive(QueryOptions query) {
    const QueryId id{++last_query_};
    const BufferId input = NewBuffer();
    inputs_[id] = input;
    Handle(QueryArrived{.query = id,
                        .model = kModel,
                        .deployed = kDeployed,
                        .signature = query.signature,
                        .samples = query.samples,
                        .bytes = query.bytes,
                        .input = input,
                        .deadline = now_ + query.deadline,
                        .mode = query.mode,
                        .further_attempt = query.further_attempt});
    return id;
  }
  BufferId InputOf(QueryId query) const { return inputs_.at(query); }

  /// The task succeeds; returns its output. `compute`: 0 if the worker does not
  /// say.
  BufferId Reply(const Sent& sent, Duration compute = Duration{0}) {
    const BufferId output = NewBuffer();
    Handle(TaskReplied{.task = sent.task.task,
                       .worker = sent.task.worker,
                       .status = TaskStatus::kOk,
                       .output = output,
                       .compute = compute});
    return output;
  }
  /// Its worker has begun with the task.
  void Start(const Sent& sent) {
    Handle(TaskStarted{.task = sent.task.task, .worker = sent.task.worker});
  }
  BufferId ReplyUndecodable(const Sent& sent) {
    const BufferId output = NewBuffer();
    Handle(TaskReplied{.task = sent.task.task,
                       .worker = sent.task.worker,
                       .status = TaskStatus::kOk,
                       .output = output,
                       .decodable = false});
    return output;
  }
  void Fail(const Sent& sent, TaskStatus status, bool retryable = false) {
    Handle(TaskReplied{.task = sent.task.task,
                       .worker = sent.task.worker,
                       .status = status,
                       .retryable = retryable});
  }
  BufferId Encoded(const Encode& encode, uint64_t bytes = 100) {
    const BufferId parity = NewBuffer();
    Handle(ParityEncoded{.group = encode.action.group,
                         .parity_index = encode.action.parity_index,
                         .ok = true,
                         .parity = parity,
                         .bytes = bytes});
    return parity;
  }
  BufferId Decoded(const Decode& decode, std::optional<float> confidence = {},
                   double noise_gain = 1) {
    const BufferId output = NewBuffer();
    Handle(MemberDecoded{.group = decode.action.group,
                         .member = decode.action.member,
                         .ok = true,
                         .output = output,
                         .noise_gain = noise_gain,
                         .confidence = confidence});
    return output;
  }

  void Handle(const Event& event) { core_->Handle(now_, event, out); }

  /// Lets time pass, firing every timer at its time. Workers that are `heard`
  /// send a heartbeat every 100 ms.
  void Advance(Duration span) {
    const Time end = now_ + span;
    for (;;) {
      const Time next = std::min(out.wake.value_or(kNever), next_heartbeat_);
      if (next > end) break;
      now_ = std::max(now_, next);
      if (next == next_heartbeat_) {
        next_heartbeat_ += Milliseconds(100);
        for (const uint32_t worker : heard) {
          Handle(WorkerHeard{.worker = WorkerId{worker}});
        }
      } else {
        out.wake.reset();
        Handle(TimerFired{});
      }
    }
    now_ = end;
  }

  /// Time jumps: whatever was due meanwhile is due now.
  void Jump(Duration span) {
    now_ += span;
    next_heartbeat_ = std::max(next_heartbeat_, now_);
    out.wake.reset();
    Handle(TimerFired{});
  }

  bool Released(BufferId buffer) const {
    return std::find(out.released.begin(), out.released.end(), buffer) !=
           out.released.end();
  }

  /// Every buffer that was given to the core was released exactly once, and
  /// its tables are empty.
  void ExpectEmpty() {
    EXPECT_EQ(out.released.size(), last_buffer_);
    std::vector<BufferId> sorted = out.released;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
    const CoreSizes sizes = core_->sizes();
    EXPECT_EQ(sizes.queries, 0U);
    EXPECT_EQ(sizes.batches, 0U);
    EXPECT_EQ(sizes.tasks, 0U);
    EXPECT_EQ(sizes.groups, 0U);
    EXPECT_EQ(sizes.open_groups, 0U);
    EXPECT_EQ(sizes.timers, 0U);
    EXPECT_EQ(sizes.buffered_bytes, 0U);
  }

  const ModelCounters& model() const { return core_->counters().models[0]; }
  const CoreCounters& counters() const { return core_->counters(); }
  CoreSizes sizes() const { return core_->sizes(); }
  Time now() const { return now_; }
  BufferId NewBuffer() { return BufferId{++last_buffer_}; }

  Recorder out;
  std::vector<uint32_t> heard;

 private:
  CoreOptions options_;
  std::unique_ptr<FrontendCore> core_;
  Time now_ = Time{} + Milliseconds(1000);
  Time next_heartbeat_ = now_ + Milliseconds(50);
  uint64_t last_query_ = 0;
  uint32_t last_buffer_ = 0;
  std::map<QueryId, BufferId> inputs_;
};

}  // namespace parm::core
