#pragma once

// Takes workers out that stand out, as Envoy's outlier detection does, with its
// names and defaults: step [4] of a query's life gives an ejected worker
// nothing. A worker is ejected that fails several tasks in a row, that is lost
// several times in a row, or (if asked for) most of whose answers in an
// interval were late. It is out for base_ejection_time, doubled each time up to
// max_ejection_time; an interval without ejection halves that again. Then it is
// on trial: one task at a time, until one is answered in time.
//
// Nobody is ejected beyond max_ejection_percent of the workers, nor who is the
// last one in for something that he serves, nor while most workers are in
// trouble: that is not theirs.
// docs/policies/worker-choice.md

#include <cstdint>

#include "base/time.h"
#include "frontend/core/core_counters.h"
#include "frontend/core/core_options.h"
#include "frontend/core/worker_table.h"

namespace parm::core {

/// Threads: owned by one.
class WorkerEjection {
 public:
  /// All outlive this object.
  WorkerEjection(const EjectionOptions& options, WorkerTable& workers,
                 EjectionCounters& counters);

  /// A task was answered after `ratio` times what is usual; 0: not known.
  void OnAnswer(Time now, Worker& worker, double ratio);
  /// A task failed by the worker's fault.
  void OnError(Time now, Worker& worker);
  /// Its connection is lost, it is silent, or a send was refused.
  void OnUnreachable(Time now, Worker& worker);
  /// Another process: nothing is known of it.
  void OnRestart(Worker& worker);

  /// When a worker is to be put on trial; kNever.
  Time next_trial() const { return next_trial_; }
  /// Puts those on trial whose time has come, and looks at the interval that
  /// may have passed. Returns whether anybody is in who was not.
  bool RunDue(Time now);

 private:
  void MayEject(Time now, Worker& worker, EjectionCause cause);
  void Eject(Time now, Worker& worker, EjectionCause cause);
  void Readmit(Worker& worker);
  bool IsLastOne(const Worker& worker) const;
  bool IsLate(const EjectionState& state) const;
  void EndInterval(Time now);

  const EjectionOptions options_;
  WorkerTable& workers_;
  EjectionCounters& counters_;
  Time next_trial_ = kNever;
  Time interval_end_{};
};

}  // namespace parm::core
