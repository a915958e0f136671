#pragma once

// When queries arrive in a scenario of load, and how large each is: step [1] of
// a query's life, on virtual time. Each gap and size is drawn by the query's
// number, so that every policy and bound meets the same stream.

#include <cstddef>
#include <cstdint>

#include "base/time.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/load_scenario.h"

namespace parm::sim {

struct Arrival {
  uint64_t number = 0;  // from 1
  Duration at{0};       // since the start of the warm-up
  uint32_t samples = 1;
};

/// Poisson arrivals whose rate follows the scenario's load.
class ArrivalStream {
 public:
  /// Both outlive this object.
  ArrivalStream(const LoadScenario& scenario, const Draws& draws)
      : scenario_(scenario), draws_(draws), load_(scenario.load) {}

  Arrival Next();

 private:
  double Rate() const { return load_ * RateAtFullLoad(scenario_); }
  uint32_t DrawSamples() const;

  const LoadScenario& scenario_;
  const Draws& draws_;
  double load_;
  size_t step_ = 0;
  Duration at_{0};
  uint64_t count_ = 0;
};

}  // namespace parm::sim
