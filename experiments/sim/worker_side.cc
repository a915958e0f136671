#include "experiments/sim/worker_side.h"

namespace parm::sim {

std::vector<SimWorker> MakeWorkers(const Scenario& scenario, const Draws& draws,
                                   WorkerSurroundings& surroundings) {
  std::vector<SimWorker> workers;
  for (uint32_t i = 0; i < scenario.workers.size(); ++i) {
    workers.emplace_back(i, scenario, draws, surroundings);
  }
  return workers;
}

void WorkerSide::Begin() {
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    const Duration until_hello = draws_.Between(
        Duration{0}, scenario_.latest_hello, Purpose::kFault, 0, i);
    world_.events.Push({.at = world_.now + until_hello,
                        .what = Happening::kHelloAtFrontend,
                        .worker = i});
    world_.events.Push({.at = world_.now + Milliseconds(1 + i % 100),
                        .what = Happening::kHeartbeat,
                        .worker = i});
  }
}

core::WorkerUp WorkerSide::HelloOf(uint32_t worker) const {
  const SimWorkerSpec& spec = scenario_.workers[worker];
  return {.worker = WorkerId{worker},
          .nonce = workers_[worker].nonce(),
          .fault_domain = spec.fault_domain,
          .lanes = spec.lanes,
          .max_in_flight = spec.max_in_flight,
          .bundles = spec.bundles};
}

bool WorkerSide::Happen(const SimEvent& event) {
  switch (event.what) {
    case Happening::kTaskAtWorker:
      if (const SimTask* const task = world_.Deliver(event)) {
        workers_[event.worker].OnTask(world_.now, *task);
      }
      return true;
    case Happening::kCancelAtWorker:
      if (event.epoch == world_.connections[event.worker].epoch) {
        workers_[event.worker].OnCancel(world_.now, TaskId{event.id},
                                        world_.frontend());
      }
      return true;
    case Happening::kProbeAtWorker:
      if (workers_[event.worker].responsive() &&
          world_.connections[event.worker].up) {
        world_.Later(
            {.what = Happening::kHeardAtFrontend, .worker = event.worker});
      }
      return true;
    case Happening::kServiceDone:
      workers_[event.worker].OnServiceDone(world_.now, event.small,
                                           event.epoch);
      return true;
    case Happening::kHeartbeat:
      Beat(event);
      return true;
    default:
      return false;
  }
}

void WorkerSide::Beat(const SimEvent& event) {
  const SimWorker& worker = workers_[event.worker];
  if (worker.responsive() && world_.connections[event.worker].up) {
    // Small: it carries depths, and all are 0.
    const bool idle = worker.queue_depth() + worker.in_flight() == 0;
    world_.Later(
        {.what = Happening::kHeardAtFrontend,
         .small = static_cast<uint8_t>(idle ? 1 : 0),
         .worker = event.worker,
         .id = static_cast<uint64_t>(world_.now.time_since_epoch().count())});
  }
  world_.events.Push({.at = world_.now + scenario_.heartbeat_interval,
                      .what = Happening::kHeartbeat,
                      .worker = event.worker});
}

}  // namespace parm::sim
