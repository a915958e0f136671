#pragma once

// Carries out the core's actions in the simulated world: sends tasks over a
// network that delays, loses, repeats and reorders, encodes and decodes after a
// while, and checks each action as it comes.

#include <array>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "experiments/sim/buffer_book.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/event_queue.h"
#include "experiments/sim/query_book.h"
#include "experiments/sim/scenario.h"
#include "experiments/sim/sim_worker.h"
#include "experiments/sim/violations.h"
#include "frontend/core/action.h"

namespace parm::sim {

/// The way between the frontend and one worker.
struct Connection {
  bool up = true;
  uint32_t epoch = 0;  // what was under way in an older one is lost
};

class Performer final : public core::ActionSink, public WorkerSurroundings {
 public:
  /// `frontend`: among several that share the workers.
  Performer(const Scenario& scenario, const Draws& draws, uint8_t frontend = 0);

  // ActionSink.
  void Emit(const core::Action& action) override;

  // WorkerSurroundings.
  void ScheduleDone(uint32_t worker, uint32_t lane, uint32_t epoch,
                    Duration span) override;
  void SendStarted(uint32_t worker, const SimTask& task) override;
  void SendReply(uint32_t worker, const SimTask& task, core::TaskStatus status,
                 bool retryable) override;

  void Disconnect(uint32_t worker);
  void Reconnect(uint32_t worker) { connections[worker].up = true; }
  /// A moment later, over the network.
  void Later(SimEvent event);

  /// Books a query that arrives, and says what the core is told of it.
  core::QueryArrived NewQuery(const SimQuery& query, uint32_t signature);

  /// Turns what happens at the frontend into the core's event. False if it was
  /// lost on the way.
  bool ToCoreEvent(const SimEvent& happened, core::Event* event);
  /// The task that `happened` carries to a worker; nullptr if it is lost.
  const SimTask* Deliver(const SimEvent& happened);

  void set_faults(bool on) { faults_ = on; }
  void set_awake_since(Time time) {
    awake_since_ = time;
    queries.set_awake_since(time);
  }
  uint8_t frontend() const { return frontend_; }
  uint64_t trace_hash() const { return trace_hash_; }
  uint64_t num_actions() const { return num_actions_; }
  uint64_t num_tasks(core::AttemptType attempt) const {
    return num_tasks_[static_cast<size_t>(attempt)];
  }

  Time now{};
  Time wake = kNever;
  EventQueue events;
  Violations violations;
  BufferBook buffers;
  QueryBook queries;
  std::vector<Connection> connections;

 private:
  // A coding group as it was encoded.
  struct GroupRecord {
    GroupId group{};
    uint32_t num_members = 0;
    std::array<Content, kMaxMembers> members{};
    std::array<Content, kMaxParities> parities{};
  };
  // Decodes come soon after their group; older groups are forgotten.
  static constexpr size_t kGroupsRemembered = 1U << 14;
  static constexpr size_t kGroupsPerWorker = 16;

  void On(const core::DispatchTask& a);
  void On(const core::CancelTask& a);
  void On(const core::EncodeParity& a);
  void On(const core::DecodeMember& a);
  void On(const core::AnswerQuery& a);
  void On(const core::CompareOutputs& a);
  void On(const core::ReleaseBuffer& a);
  void On(const core::ProbeWorker& a);
  void On(const core::WakeAt& a);
  Content BatchContent(absl::Span<const BufferId> inputs, uint32_t* rows);
  void NoteDispatched(const core::DispatchTask& task, Content content);
  GroupRecord& NewRecord(GroupId group);
  GroupRecord* FindRecord(GroupId group);
  bool ReplyToCoreEvent(const SimEvent& happened, core::Event* event);
  bool EncodedToCoreEvent(const SimEvent& happened, core::Event* event);
  bool DecodedToCoreEvent(const SimEvent& happened, core::Event* event);
  bool Fails(double rate, Purpose purpose, uint64_t a, uint64_t b = 0) const;
  template <typename... Values>
  void Trace(Values... values) {
    ((trace_hash_ = Draws::Mix(trace_hash_ ^ static_cast<uint64_t>(values))),
     ...);
  }

  const Scenario& scenario_;
  const Draws& draws_;
  const uint8_t frontend_;
  bool faults_ = true;
  Time awake_since_{};  // the end of the frontend's last stall
  uint64_t trace_hash_ = 0;
  uint64_t num_actions_ = 0;
  std::array<uint64_t, 4> num_tasks_{};
  std::vector<QueryId> query_of_input_;  // by BufferId
  std::vector<SimTask> in_flight_;       // to workers; by index
  std::vector<uint32_t> free_in_flight_;
  std::vector<GroupRecord> groups_;  // a ring
  size_t next_group_ = 0;
  absl::flat_hash_map<uint64_t, size_t> group_index_;
  SimTask delivered_;
};

}  // namespace parm::sim
