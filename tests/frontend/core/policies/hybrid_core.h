#pragma once

// A core under policy hybrid, for its tests.

#include <cstdint>

#include "encoder/code.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {

inline CodeSpec SumOfFour() { return {.scheme = "sum", .k = 4}; }
inline CodeSpec SumOfTwo() { return {.scheme = "sum", .k = 2}; }

inline CoreHarness HybridCore(const CoreOptions& options) {
  CoreHarness core(options);
  for (uint32_t i = 0; i < options.num_workers; ++i) {
    core.Up(i, {.parity = true, .domain = i, .max_in_flight = 100});
    core.heard.push_back(i);
  }
  return core;
}

}  // namespace parm::core
