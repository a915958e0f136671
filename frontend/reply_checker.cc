#include "frontend/reply_checker.h"

#include <algorithm>
#include <utility>

#include "frontend/tensor_rows.h"

namespace parm {

std::optional<core::TaskReplied> ReplyChecker::Check(WorkerId worker,
                                                     WorkerReply reply) {
  if (reply.exit_stage != 0) {
    ++parts_.counters->replies_early;
    return std::nullopt;
  }
  const std::optional<TaskRecord> record =
      parts_.ledger->Take(reply.task, worker);
  if (!record.has_value()) {
    ++parts_.counters->replies_unknown;
    return std::nullopt;
  }
  core::TaskReplied event{.task = reply.task,
                          .worker = worker,
                          .status = core::TaskStatus::kError,
                          .queue = reply.queue,
                          .compute = reply.compute};
  switch (reply.status) {
    case wire::OK:
      TakeOutputs(*record, std::move(reply), &event);
      break;
    case wire::CANCELLED:
      event.status = core::TaskStatus::kCancelled;
      break;
    case wire::EXPIRED:
      event.status = core::TaskStatus::kExpired;
      break;
    default:
      event.retryable = reply.retryable;
      parts_.error_texts->Remember(reply.task, reply.error, reply.error_code);
  }
  return event;
}

void ReplyChecker::TakeOutputs(const TaskRecord& record, WorkerReply reply,
                               core::TaskReplied* event) {
  absl::StatusOr<TensorSet> outputs = CheckOutputs(
      record, parts_.catalog->Get(record.bundle), std::move(reply.tensors));
  if (!outputs.ok()) {
    ++parts_.counters->replies_wrong;
    event->retryable = true;
    parts_.error_texts->Remember(reply.task, outputs.status().message());
    return;
  }
  event->status = core::TaskStatus::kOk;
  const bool finite =
      std::all_of(outputs->tensors.begin(), outputs->tensors.end(), AllFinite);
  if (!finite) ++parts_.counters->outputs_not_finite;
  event->decodable = finite && reply.decodable && outputs->tensors.size() == 1;
  const CatalogBundle& bundle = parts_.catalog->Get(record.bundle);
  if (bundle.role == core::BundleRole::kDeployed) {
    ++parts_.counters->use.at(Raw(bundle.model)).executions;
  }
  outputs->bundle = record.bundle;
  event->output = parts_.buffers->Add(*std::move(outputs));
}

}  // namespace parm
