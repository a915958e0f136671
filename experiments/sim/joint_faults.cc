#include "experiments/sim/joint_faults.h"

namespace parm::sim {

namespace {
// What a draw is for, besides the period and worker.
enum Use : uint64_t { kRoving = 1, kPair, kPartner, kRecord, kDomain, kKept };

constexpr uint64_t KeyOf(uint64_t period, uint64_t part) {
  return Draws::Mix(period) ^ part;
}

}  // namespace

uint32_t SlowWorker(const LoadScenario& scenario, const Draws& draws,
                    uint64_t period) {
  return static_cast<uint32_t>(draws.Bits(Purpose::kFault, period, kRoving) %
                               scenario.num_workers);
}

double RecordedSlowdown(const LoadScenario& scenario, const Draws& draws,
                        uint64_t period, uint32_t worker) {
  const uint64_t record =
      draws.Bits(Purpose::kFault, KeyOf(period, worker), kRecord);
  return scenario.trace->slowdowns[record % scenario.trace->slowdowns.size()];
}

double RecordedServiceTime(const LoadScenario& scenario, const Draws& draws,
                           Duration now, uint32_t worker, uint64_t luck) {
  const RecordedService& recorded = *scenario.recorded;
  uint64_t key = KeyOf(luck, worker);
  if (recorded.dwell > Duration{0}) {
    // They draw anew one after the other, not all at once.
    const Duration shifted =
        now + recorded.dwell * worker / scenario.num_workers;
    key = KeyOf(static_cast<uint64_t>(shifted / recorded.dwell), worker);
  }
  const uint64_t bits = draws.Bits(Purpose::kService, key, kKept);
  return recorded.seconds[bits % recorded.seconds.size()];
}

bool IsShuffling(const LoadScenario& scenario, const Draws& draws, Duration now,
                 uint32_t worker) {
  const uint64_t n = scenario.num_workers;
  const uint32_t num_pairs = scenario.shuffles->pairs;
  const Duration length = scenario.shuffles->length;
  for (uint32_t pair = 0; pair < num_pairs; ++pair) {
    // They end one after the other, not all at once.
    const Duration shifted = now + length * pair / num_pairs;
    const uint64_t key = KeyOf(static_cast<uint64_t>(shifted / length), pair);
    const uint64_t one = draws.Bits(Purpose::kFault, key, kPair) % n;
    const uint64_t other =
        (one + 1 + draws.Bits(Purpose::kFault, key, kPartner) % (n - 1)) % n;
    if (worker == one || worker == other) return true;
  }
  return false;
}

uint32_t PausedDomain(const LoadScenario& scenario, const Draws& draws,
                      uint64_t period) {
  return static_cast<uint32_t>(draws.Bits(Purpose::kFault, period, kDomain) %
                               scenario.fault_domains);
}

}  // namespace parm::sim
