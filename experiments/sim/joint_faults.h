#pragma once

// What befalls workers together in a scenario of load, period by period: which
// worker a roving slow mode visits, how slow a recorded machine is, which fault
// domain stands still. Drawn by (seed, period) alone, so that every policy
// meets the same, simulated or live.

#include <cstdint>

#include "base/time.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/load_scenario.h"

namespace parm::sim {

/// Needs: the scenario has a roving slow mode.
uint32_t SlowWorker(const LoadScenario& scenario, const Draws& draws,
                    uint64_t period);

/// Factor of service times. Needs: the scenario has a trace, which was read.
double RecordedSlowdown(const LoadScenario& scenario, const Draws& draws,
                        uint64_t period, uint32_t worker);

/// Service time of one sample, in seconds.
/// Needs: the scenario has recorded service times.
double RecordedServiceTime(const LoadScenario& scenario, const Draws& draws,
                           Duration now, uint32_t worker, uint64_t luck);

/// Whether the worker is in one of the pairs that shuffle at this time after
/// the start. Needs: the scenario has shuffles.
bool IsShuffling(const LoadScenario& scenario, const Draws& draws, Duration now,
                 uint32_t worker);

/// Needs: the scenario has a domain pause; period counts from 1.
uint32_t PausedDomain(const LoadScenario& scenario, const Draws& draws,
                      uint64_t period);

}  // namespace parm::sim
