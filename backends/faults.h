#pragma once

// The misbehaviour that a worker's own configuration asks for: slow jobs, a
// slow mode, delayed, lost, doubled, wrong or refused replies. Off by default.
// Decided once per task, before it runs; carried out by the lane (slowness,
// errors) and the worker loop (what happens to the reply).

#include <cstdint>
#include <utility>
#include <vector>

#include "backends/keyed_draws.h"
#include "base/ids.h"
#include "base/time.h"

namespace parm {

enum class Corruption : uint8_t {
  kNone,
  kWrongBytes,    // tensor bytes at random, of the right size
  kWrongShape,    // well formed, but not what the bundle answers
  kGarbageFrame,  // an envelope that does not parse
};

/// One condition that holds for a while after the worker's start.
struct FaultWindow {
  Duration start{0};
  Duration length = Duration::max();
  double slow_job_probability = 0;
  double slow_job_factor = 1;
  double slow_mode_factor = 1;
  double reply_delay_probability = 0;
  Duration reply_delay{0};
  double drop_probability = 0;
  double duplicate_probability = 0;
  double corrupt_probability = 0;
  double error_probability = 0;
};

/// What will go wrong with one task.
struct FaultPlan {
  double slow_factor = 1;
  Duration reply_delay{0};
  bool drop = false;
  bool duplicate = false;
  bool error = false;
  Corruption corruption = Corruption::kNone;

  bool operator==(const FaultPlan&) const = default;
};

/// Windows that hold at once add up: factors multiply, delays add.
/// Threads: const, any thread.
class Faults {
 public:
  Faults(std::vector<FaultWindow> windows, KeyedDraws draws)
      : windows_(std::move(windows)), draws_(draws) {}

  FaultPlan Plan(Luck luck, Duration since_start) const;

 private:
  const std::vector<FaultWindow> windows_;
  const KeyedDraws draws_;
};

}  // namespace parm
