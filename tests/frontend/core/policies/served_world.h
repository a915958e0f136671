#pragma once

// A core whose workers answer by themselves, each task after as long as the
// test says, in steps of a millisecond. Encodes and decodes are done at once.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "frontend/core/fixed_map.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {

/// Uniform in [0, 1), by the task.
inline double Draw(const Sent& sent) {
  return static_cast<double>(MixBits(Raw(sent.task.luck)) >> 11) * 0x1p-53;
}

class ServedWorld {
 public:
  /// nullopt: it is never answered.
  using Service = std::function<std::optional<Duration>(const Sent&)>;

  /// Every worker is its own fault domain, and serves parity queries too.
  ServedWorld(const CoreOptions& options, uint32_t max_in_flight,
              Service service)
      : core(options),
        backup_(options.models[0].policy == PolicyKind::kBackup),
        max_in_flight_(max_in_flight),
        service_(std::move(service)) {
    for (uint32_t i = 0; i < options.num_workers; ++i) Start(i, /*nonce=*/1);
  }

  /// It says hello, and that it lives from then on.
  void Start(uint32_t worker, uint64_t nonce) {
    core.Up(worker, {.parity = !backup_,
                     .backup = backup_,
                     .domain = worker,
                     .max_in_flight = max_in_flight_,
                     .nonce = nonce});
    core.heard.push_back(worker);
  }

  void set_service(Service service) { service_ = std::move(service); }

  /// `per_ms` queries arrive each millisecond.
  void Run(Duration span, int per_ms, Duration deadline = Milliseconds(500)) {
    const Time end = core.now() + span;
    while (core.now() < end) {
      for (int i = 0; i < per_ms; ++i) {
        core.Arrive({.deadline = deadline});
        ++num_queries;
      }
      Schedule();
      core.Advance(Milliseconds(1));
      Schedule();
      ReplyToDue();
    }
  }

  /// No worker ever had two copies of one query.
  void ExpectCopiesApart() const {
    std::map<BufferId, std::set<WorkerId>> workers_of;
    for (const Sent& sent : core.out.sent) {
      for (const BufferId input : sent.inputs) {
        EXPECT_TRUE(workers_of[input].insert(sent.task.worker).second)
            << "input " << Raw(input) << " twice at worker "
            << Raw(sent.task.worker);
      }
    }
  }

  /// Every query has exactly one answer.
  void ExpectAnsweredOnce() const {
    std::set<QueryId> answered;
    for (const AnswerQuery& answer : core.out.answers) {
      EXPECT_TRUE(answered.insert(answer.query).second);
    }
    EXPECT_EQ(answered.size(), num_queries);
  }

  uint64_t NumSent(AttemptType attempt) const {
    return core.model().tasks[static_cast<size_t>(attempt)];
  }

  CoreHarness core;
  uint64_t num_queries = 0;

 private:
  struct Job {
    Sent sent;
    Duration takes;
  };
  void Schedule() {
    for (; num_encoded_ < core.out.encodes.size(); ++num_encoded_) {
      core.Encoded(Encode{core.out.encodes[num_encoded_]});
    }
    for (; num_decoded_ < core.out.decodes.size(); ++num_decoded_) {
      core.Decoded(Decode{core.out.decodes[num_decoded_]});
    }
    for (; num_seen_ < core.out.sent.size(); ++num_seen_) {
      const Sent& sent = core.out.sent[num_seen_];
      if (const auto takes = service_(sent)) {
        due_.emplace(core.now() + *takes, Job{sent, *takes});
      }
    }
  }
  void ReplyToDue() {
    while (!due_.empty() && due_.begin()->first <= core.now()) {
      const Job job = due_.begin()->second;
      due_.erase(due_.begin());
      core.Reply(job.sent, job.takes);
      Schedule();
    }
  }

  const bool backup_;
  const uint32_t max_in_flight_;
  Service service_;
  size_t num_seen_ = 0;
  size_t num_encoded_ = 0;
  size_t num_decoded_ = 0;
  std::multimap<Time, Job> due_;
};

}  // namespace parm::core
