#pragma once

// The decisions of the frontend, sans I/O: time and an event in, actions out.
// It owns every query from arrival to its one answer, and for the feedback
// horizon after it. See frontend/core/README.md for the parts.

#include <memory>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "frontend/core/action.h"
#include "frontend/core/core_counters.h"
#include "frontend/core/core_options.h"
#include "frontend/core/event.h"

namespace parm::core {

/// Threads: owned by one; Handle calls never overlap.
/// Time:    `now` never runs backwards.
class FrontendCore {
 public:
  /// Errors: kInvalidArgument for options that contradict each other.
  static absl::StatusOr<std::unique_ptr<FrontendCore>> Create(
      CoreOptions options);
  virtual ~FrontendCore() = default;

  /// Cost: no allocation in the steady state.
  virtual void Handle(Time now, const Event& event, ActionSink& out) = 0;

  virtual const CoreCounters& counters() const = 0;

  /// Sizes of every map, for bounds and leak checks.
  virtual CoreSizes sizes() const = 0;
};

}  // namespace parm::core
