#include "experiments/sim/sim_frontend.h"

#include <utility>
#include <variant>

#include "base/status_macros.h"

namespace parm::sim {

absl::Status SimFrontend::Begin() {
  PARM_ASSIGN_OR_RETURN(core_, core::FrontendCore::Create(options_));
  worker_side.Begin();
  return absl::OkStatus();
}

void SimFrontend::Tell(const core::Event& event) {
  ledger.See(event);
  core_->Handle(world.now, event, *this);
}

void SimFrontend::Emit(const core::Action& action) {
  if (const auto* answer = std::get_if<core::AnswerQuery>(&action)) {
    on_answer_(*this, *answer);
  }
  ledger.See(action);
  world.Emit(action);
}

std::optional<SimEvent> SimFrontend::Step() {
  if (world.wake <= world.events.top().at) {
    world.now = std::exchange(world.wake, kNever);
    Tell(core::TimerFired{});
    return std::nullopt;
  }
  const SimEvent event = world.events.Pop();
  world.now = event.at;
  switch (event.what) {
    case Happening::kArrival:
    case Happening::kIncident:
    case Happening::kIncidentOver:
      return event;
    case Happening::kHelloAtFrontend:
      Tell(worker_side.HelloOf(event.worker));
      return std::nullopt;
    default:
      break;
  }
  if (worker_side.Happen(event)) return std::nullopt;
  core::Event core_event;
  if (world.ToCoreEvent(event, &core_event)) Tell(core_event);
  return std::nullopt;
}

JobPlan SharedPool::Plan(Time begin, uint32_t worker, const SimTask& task) {
  return frontends_[task.frontend]->ledger.Plan(begin, worker, task);
}

Performer& SharedPool::WorldOf(uint8_t frontend) {
  Performer& world = frontends_[frontend]->world;
  world.now = now_;
  return world;
}

void SharedPool::ScheduleDone(uint32_t worker, uint32_t lane, uint32_t epoch,
                              Duration span) {
  // Whoever sees it tells the worker.
  WorldOf(0).ScheduleDone(worker, lane, epoch, span);
}

void SharedPool::SendStarted(uint32_t worker, const SimTask& task) {
  WorldOf(task.frontend).SendStarted(worker, task);
}

void SharedPool::SendReply(uint32_t worker, const SimTask& task,
                           core::TaskStatus status, bool retryable) {
  WorldOf(task.frontend).SendReply(worker, task, status, retryable);
}

}  // namespace parm::sim
