#pragma once

// Drives a FrontendCore by hand on virtual time: short names for events; the
// actions that came out are in `out`.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/time.h"
#include "frontend/core/core_engine.h"
#include "frontend/core/frontend_core.h"
#include "tests/frontend/core/action_recorder.h"
#include "tests/frontend/core/test_options.h"

namespace parm::core {

class CoreHarness {
 public:
  explicit CoreHarness(CoreOptions options);
  CoreHarness(CoreOptions options, const CoreEngine::PolicyFactory& policy);

  struct UpOptions {
    bool deployed = true;
    bool parity = false;
    bool backup = false;
    uint32_t domain = 0;
    uint32_t lanes = 1;
    uint32_t max_in_flight = 1;
    uint64_t nonce = 1;
  };
  void Up(uint32_t worker, UpOptions up);

  struct QueryOptions {
    uint32_t signature = 1;
    uint32_t samples = 1;
    Duration deadline = Milliseconds(500);
    AnswerMode mode = AnswerMode::kBalanced;
    uint64_t bytes = 100;
    bool further_attempt = false;
    uint8_t unit = 0;
  };
  QueryId Arrive() { return Arrive({}); }
  QueryId Arrive(QueryOptions query);
  BufferId InputOf(QueryId query) const { return inputs_.at(query); }

  /// The task succeeds; returns its output. `compute`: 0 if the worker does not
  /// say.
  BufferId Reply(const Sent& sent, Duration compute = Duration{0});
  /// Its worker has begun with the task.
  void Start(const Sent& sent) {
    Handle(TaskStarted{.task = sent.task.task, .worker = sent.task.worker});
  }
  BufferId ReplyUndecodable(const Sent& sent);
  void Fail(const Sent& sent, TaskStatus status, bool retryable = false);
  BufferId Encoded(const Encode& encode, uint64_t bytes = 100);
  BufferId Decoded(const Decode& decode, std::optional<float> confidence = {},
                   double noise_gain = 1);

  void Handle(const Event& event) { core_->Handle(now_, event, out); }

  /// Lets time pass, firing every timer at its time. Workers that are `heard`
  /// send a heartbeat every 100 ms.
  void Advance(Duration span);

  /// Time jumps: whatever was due meanwhile is due now.
  void Jump(Duration span);

  bool Released(BufferId buffer) const;

  /// Every buffer that was given to the core was released exactly once, and
  /// its tables are empty.
  void ExpectEmpty();

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
