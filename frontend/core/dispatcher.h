#pragma once

// Sends batches and parity queries to workers, at once or when a slot is free,
// and keeps the books of every task until it ends: step [4] of a query's life.
// What a reply means is the resolver's business.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "frontend/core/core_state.h"
#include "frontend/core/worker_table.h"

namespace parm::core {

/// Told what redundancy hangs on.
class DispatchObserver {
 public:
  virtual ~DispatchObserver() = default;
  /// The group that the batch would join, to keep away from its workers;
  /// nullptr if none is open.
  virtual Group* GroupToJoin(const Batch& batch) = 0;
  /// The batch has just left for the first time.
  virtual void OnFirstDispatch(const Turn& turn, Batch& batch) = 0;
  /// A task is over, of whatever kind, and took so much of its worker; nullopt:
  /// nobody knows.
  virtual void OnTaskEnded(const Task& task,
                           std::optional<Duration> service) = 0;
  /// A waiting parity query found no worker in time, or there is none.
  virtual void OnParityUnplaced(const Turn& turn, Parity& parity) = 0;
};

class Dispatcher {
 public:
  /// All outlive the dispatcher.
  Dispatcher(CoreState& state, WorkerTable& workers,
             DispatchObserver& observer);

  /// First dispatch: now, or in line behind those that wait for the bundle.
  void Submit(const Turn& turn, Batch& batch);

  enum class Wait : uint8_t { kNever, kForSlot };
  /// One more copy of a batch. With kNever no worker that has had one gets it,
  /// and one of another fault domain is preferred. With kForSlot only `avoid`
  /// does not get it, and it may wait, at the head of the line, for a slot or
  /// for a worker to come back. False if it was neither sent nor put in line.
  bool SendCopy(const Turn& turn, Batch& batch, AttemptType attempt,
                uint8_t priority, Wait wait, WorkerId avoid);

  /// Sends or lines up an encoded parity query, or reports it as unplaced.
  void SubmitParity(const Turn& turn, Parity& parity);

  /// Takes it out of the line.
  /// Needs: it waits.
  void Withdraw(Batch& batch);
  void Withdraw(Parity& parity);

  /// Asks the worker to drop the task if it has not begun. It goes on to take
  /// its slot until its terminal reply, or its estimated end.
  void Cancel(const Turn& turn, Task& task);

  /// Nobody waits for the outcome any more; the task still takes its slot.
  void Orphan(Task& task);

  /// What a task that its worker replied to has taken of it: as the worker
  /// says; else the time since it began, where that is known. nullopt: nobody
  /// knows.
  static std::optional<Duration> ServiceOf(const Turn& turn, const Task& task,
                                           const Worker& worker,
                                           const TaskReplied& reply);

  enum class Outcome : uint8_t { kAnswered, kNoAnswer };
  /// The task is over: frees its slot and its record. `service`: what it took
  /// of its worker, if that is known.
  void End(const Turn& turn, Task& task, Outcome outcome,
           std::optional<Duration> service = std::nullopt);

  /// The task is taken to need no slot any more; its answer may still come.
  void FreeSlot(Task& task);

  /// The estimated end has come: the slot is taken to be free. A task that
  /// somebody waits for is kept until the feedback horizon, then ended; returns
  /// true if it was ended.
  bool OnTaskTimer(const Turn& turn, Task& task);

  /// A worker may have room: Pump will look at it.
  void NoteRoom(Worker& worker);
  /// The same for everybody who serves what this worker serves.
  void NoteRoomBeside(const Worker& worker);

  /// Hands out what waits for the bundles of workers that were noted: batches,
  /// oldest first, then parity queries, each to the worker that Pick names, so
  /// that a line is spread and groups stay apart as if nobody had waited. True
  /// if anything was sent.
  /// Cost: O(workers of the bundle) for each task sent; kLookahead times that
  /// for a line from which nothing can be sent.
  bool Pump(const Turn& turn);

 private:
  // How many waiting tasks are looked at for one that has a worker to go to.
  static constexpr int kLookahead = 8;
  using BundleList = IntrusiveList<Bundle, &Bundle::stirred>;

  void StandInLine(const Turn& turn, Batch& batch, Bundle& bundle,
                   AttemptType attempt);
  void SendBatch(const Turn& turn, Batch& batch, Worker& worker,
                 AttemptType attempt, uint8_t priority);
  void SendParity(const Turn& turn, Parity& parity, Bundle& bundle,
                  Worker& worker);
  void PrepareFirstDispatch(const Turn& turn, Batch& batch);
  Task& NewTask(const Turn& turn, Worker& worker, ModelId model,
                AttemptType attempt, uint8_t priority, uint32_t samples,
                Time deadline);
  bool SendNextBatch(const Turn& turn, Bundle& bundle);
  bool SendNextParity(const Turn& turn, Bundle& bundle);
  bool HasTaskRecord();
  void NoteRun(const Turn& turn, const Task& task, Outcome outcome,
               bool is_lost);
  void NotePace(const Turn& turn, const Task& task);
  void NoteService(const Task& task, Outcome outcome,
                   std::optional<Duration> service);

  CoreState& state_;
  WorkerTable& workers_;
  DispatchObserver& observer_;
  std::vector<Worker*> freed_;    // flag `freed` is set
  std::vector<BufferId> inputs_;  // of the task being sent
  bool starved_ = false;          // something waits for want of a task record
};

}  // namespace parm::core
