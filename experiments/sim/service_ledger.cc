#include "experiments/sim/service_ledger.h"

#include <utility>
#include <variant>

namespace parm::sim {

JobPlan ServiceLedger::Plan(Time begin, uint32_t worker, const SimTask& task) {
  const JobPlan plan = law_.Plan(begin, worker, task);
  if (plan.silent) return plan;
  job_of_task_[Raw(task.task)] = static_cast<JobIndex>(jobs_.size());
  jobs_.push_back({.service = plan.service, .counted = counting_});
  if (counting_) begun_ += plan.service;
  return plan;
}

ServiceLedger::Jobs& ServiceLedger::MadeOf(BufferId buffer) {
  if (made_of_.size() <= Raw(buffer)) made_of_.resize(Raw(buffer) + 1);
  return made_of_[Raw(buffer)];
}

void ServiceLedger::See(const core::Action& action) {
  if (const auto* decode = std::get_if<core::DecodeMember>(&action)) {
    Jobs& jobs = decodes_[KeyOf(decode->group, decode->member)];
    for (const BufferId output : decode->outputs) {
      const Jobs& made_of = MadeOf(output);
      jobs.insert(jobs.end(), made_of.begin(), made_of.end());
    }
    return;
  }
  const auto* answer = std::get_if<core::AnswerQuery>(&action);
  if (answer == nullptr || answer->output == BufferId{}) return;
  for (const JobIndex index : MadeOf(answer->output)) {
    Job& job = jobs_[index];
    if (std::exchange(job.counted, false)) used_ += job.service;
  }
}

void ServiceLedger::See(const core::Event& event) {
  if (const auto* reply = std::get_if<core::TaskReplied>(&event)) {
    const auto job = job_of_task_.find(Raw(reply->task));
    if (reply->output != BufferId{}) {
      Jobs& made_of = MadeOf(reply->output);
      made_of.clear();
      if (job != job_of_task_.end()) made_of.push_back(job->second);
    }
    if (job != job_of_task_.end()) job_of_task_.erase(job);
    return;
  }
  const auto* decoded = std::get_if<core::MemberDecoded>(&event);
  if (decoded == nullptr) return;
  const auto jobs = decodes_.find(KeyOf(decoded->group, decoded->member));
  if (jobs == decodes_.end()) return;
  if (decoded->output != BufferId{}) {
    MadeOf(decoded->output) = std::move(jobs->second);
  }
  decodes_.erase(jobs);
}

}  // namespace parm::sim
