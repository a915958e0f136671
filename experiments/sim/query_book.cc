#include "experiments/sim/query_book.h"

#include <algorithm>

namespace parm::sim {

using core::AnswerError;
using core::AnswerMode;
using core::AnswerSource;

QueryId QueryBook::Add(SimQuery query) {
  queries_.push_back(query);
  return QueryId{queries_.size()};
}

SimQuery* QueryBook::Find(QueryId id) {
  const uint64_t index = Raw(id) - 1;
  if (index < queries_.size()) return &queries_[index];
  violations_.Add("query is unknown: ", Raw(id));
  return nullptr;
}

void QueryBook::Abandon(QueryId id) {
  SimQuery* const query = Find(id);
  if (query == nullptr || query->state != SimQuery::State::kOpen) return;
  query->state = SimQuery::State::kAbandoned;
  ++num_abandoned_;
}

void QueryBook::Dispatched(QueryId id, uint32_t first_row, Content batch,
                           const core::DispatchTask& task) {
  SimQuery* const query = Find(id);
  if (query == nullptr) return;
  violations_.Check(!query->dispatched || (query->first_row == first_row &&
                                           query->batch == batch),
                    "query moved between copies of its batch: ", Raw(id));
  const auto tried_end = query->tried.begin() + query->num_tried;
  violations_.Check(
      task.attempt != core::AttemptType::kHedge ||
          std::find(query->tried.begin(), tried_end, task.worker) == tried_end,
      "second copy at the same worker: query ", Raw(id));
  if (query->num_tried < query->tried.size()) {
    query->tried[query->num_tried++] = task.worker;
  }
  query->dispatched = true;
  query->first_row = first_row;
  query->batch = batch;
}

void QueryBook::Answered(const core::AnswerQuery& answer, Time now,
                         BufferBook& buffers) {
  SimQuery* const query = Find(answer.query);
  if (query == nullptr) return;
  violations_.Check(query->state == SimQuery::State::kOpen,
                    "second answer, or one to nobody: query ",
                    Raw(answer.query));
  violations_.Check(now <= std::max(query->deadline, awake_since_),
                    "answer after the deadline: query ", Raw(answer.query));
  query->state = SimQuery::State::kAnswered;
  ++num_answered_;
  ++by_source_[static_cast<size_t>(answer.source)];
  CheckOutput(answer, *query, buffers);
}

void QueryBook::CheckOutput(const core::AnswerQuery& answer,
                            const SimQuery& query, BufferBook& buffers) {
  const uint64_t id = Raw(answer.query);
  const core::ModelOptions& model = models_[Raw(query.model)];
  switch (answer.source) {
    case AnswerSource::kError:
      violations_.Check(answer.error != AnswerError::kNone,
                        "error without a reason: query ", id);
      return;
    case AnswerSource::kDefault:
      violations_.Check(
          model.has_default_answer && query.mode != AnswerMode::kExact,
          "default answer not allowed: query ", id);
      return;
    case AnswerSource::kBackup:
    case AnswerSource::kReconstructed:
      violations_.Check((answer.source == AnswerSource::kBackup) ==
                            (model.policy == core::PolicyKind::kBackup),
                        "answer of the other kind of bundle: query ", id);
      violations_.Check(query.mode != AnswerMode::kExact &&
                            model.mode == core::PolicyMode::kAct,
                        "reconstruction not allowed: query ", id);
      violations_.Check(
          !model.decode.floor ||
              (answer.confidence && *answer.confidence >= *model.decode.floor),
          "reconstruction below the floor: query ", id);
      break;
    case AnswerSource::kHedged:
      violations_.Check((model.policy == core::PolicyKind::kHedge ||
                         model.policy == core::PolicyKind::kReplicate ||
                         model.policy == core::PolicyKind::kHybrid) &&
                            model.mode == core::PolicyMode::kAct,
                        "hedged answer not allowed: query ", id);
      break;
    default:
      break;
  }
  violations_.Check(query.dispatched &&
                        answer.first_sample == query.first_row &&
                        answer.num_samples == query.samples,
                    "answer has the wrong rows: query ", id);
  violations_.Check(
      buffers.Read(answer.output, "an answer") == ModelOutput(query.batch),
      "answer is another batch's output: query ", id);
}

void QueryBook::CheckAllEnded() {
  for (size_t i = 0; i < queries_.size(); ++i) {
    violations_.Check(queries_[i].state != SimQuery::State::kOpen,
                      "query was never answered: ", i + 1);
  }
}

}  // namespace parm::sim
