#pragma once

// What worker_ejection.h keeps of a worker.

#include <cstdint>

#include "base/time.h"
#include "frontend/core/core_counters.h"

namespace parm::core {

enum class EjectionStage : uint8_t {
  kIn,
  kOut,
  kTrial,  // one task at a time
};

struct EjectionState {
  EjectionStage stage = EjectionStage::kIn;
  EjectionCause cause{};
  Time until{};   // kOut
  int times = 0;  // ejected of late: how long it is the next time
  uint32_t errors_in_row = 0;
  uint32_t unreachable_in_row = 0;
  uint32_t answers = 0;  // in this interval
  uint32_t late = 0;     // of these
};

}  // namespace parm::core
