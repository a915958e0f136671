#include "frontend/worker_board.h"

#include <algorithm>
#include <utility>

#include "spdlog/spdlog.h"

namespace parm {
namespace {

// Of one worker: the first that is seen may not be the one that tells why.
constexpr int kMaxRefusalsLogged = 3;

}  // namespace

WorkerBoard::WorkerBoard(const std::vector<std::string>& endpoints,
                         Duration heartbeat_timeout)
    : heartbeat_timeout_(heartbeat_timeout) {
  for (const std::string& endpoint : endpoints) {
    workers_.push_back({.endpoint = endpoint});
  }
}

void WorkerBoard::Place(WorkerId worker, const std::string& endpoint) {
  spdlog::info("a worker joins: {}", endpoint);
  workers_.at(Raw(worker)) = {.endpoint = endpoint};
}

void WorkerBoard::Vacate(WorkerId worker) {
  WorkerStatus& status = workers_.at(Raw(worker));
  spdlog::info("worker '{}' at {} has left", status.id, status.endpoint);
  status = {};
}

bool WorkerBoard::OnHello(WorkerId worker, const wire::Hello& hello, Time now) {
  WorkerStatus& status = workers_.at(Raw(worker));
  const bool restarted =
      status.nonce != 0 && status.nonce != hello.instance_nonce();
  if (!status.connected || restarted) {
    spdlog::info("worker '{}' at {} is up{}: {} bundles, {} lanes",
                 hello.worker_id(), status.endpoint,
                 restarted ? " (restarted)" : "", hello.bundles_size(),
                 hello.lanes());
  }
  status.id = hello.worker_id();
  status.connected = true;
  status.refusals_logged = 0;
  status.refusal.clear();
  if (restarted) status.draining = false;
  status.nonce = hello.instance_nonce();
  status.max_message_bytes = hello.max_message_bytes();
  if (status.max_message_bytes > 0) {
    smallest_message_limit_ =
        std::min(smallest_message_limit_, status.max_message_bytes);
  }
  status.last_heard = now;
  return restarted;
}

void WorkerBoard::OnHelloRefused(WorkerId worker, const std::string& why) {
  WorkerStatus& status = workers_.at(Raw(worker));
  // It is asked again and again, and says the same mostly.
  if (status.refusal == why || status.refusals_logged == kMaxRefusalsLogged) {
    return;
  }
  ++status.refusals_logged;
  status.refusal = why;
  spdlog::error("the worker at {} says no hello that can be read: {}",
                status.endpoint, why);
}

void WorkerBoard::OnHeartbeat(WorkerId worker, uint32_t queue_depth,
                              uint32_t in_flight, Time now) {
  WorkerStatus& status = workers_.at(Raw(worker));
  status.last_heard = now;
  status.queue_depth = queue_depth;
  status.in_flight = in_flight;
}

void WorkerBoard::OnDraining(WorkerId worker, Time now) {
  WorkerStatus& status = workers_.at(Raw(worker));
  if (!status.draining) {
    spdlog::info("worker '{}' at {} is draining", status.id, status.endpoint);
  }
  status.draining = true;
  status.last_heard = now;
}

void WorkerBoard::OnStays(WorkerId worker) {
  WorkerStatus& status = workers_.at(Raw(worker));
  spdlog::info("worker '{}' at {} stays", status.id, status.endpoint);
  status.draining = false;
}

void WorkerBoard::OnHeard(WorkerId worker, Time now) {
  workers_.at(Raw(worker)).last_heard = now;
}

void WorkerBoard::OnLost(WorkerId worker) {
  WorkerStatus& status = workers_.at(Raw(worker));
  status.connected = false;
  status.queue_depth = 0;
  status.in_flight = 0;
  spdlog::warn("worker '{}' at {} is lost", status.id, status.endpoint);
}

void WorkerBoard::OnEjections(const core::EjectionCounters& ejections) {
  if (ejections.num_changes == ejections_logged_) return;
  ejections_logged_ = ejections.num_changes;
  const WorkerStatus& status = workers_.at(Raw(ejections.last.worker));
  if (ejections.last.cause) {
    spdlog::warn("worker '{}' at {} is ejected: {}", status.id, status.endpoint,
                 std::string(NameOf(*ejections.last.cause)));
  } else {
    spdlog::info("worker '{}' at {} takes tasks again", status.id,
                 status.endpoint);
  }
}

}  // namespace parm
