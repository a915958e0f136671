#include "frontend/sequence_router.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {

SequenceRouter::SequenceRouter(const SequenceOptions& options, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      servers_(parts_.max_in_flight.size()) {}

// ---- Sequences -----------------------------------------------------------

std::optional<WorkerId> SequenceRouter::LeastUsed(ModelId model,
                                                  Time now) const {
  std::optional<WorkerId> best;
  for (size_t i = 0; i < servers_.size(); ++i) {
    // Ties go round.
    const WorkerId worker{static_cast<uint32_t>(
        (i + parts_.counters->sequences.started) % servers_.size())};
    if (parts_.max_in_flight[Raw(worker)] == 0 ||
        parts_.workers->StateOf(worker, now) != WorkerState::kUp ||
        !parts_.catalog->Serves(worker, model)) {
      continue;
    }
    if (!best || ServerOf(worker).sequences < ServerOf(*best).sequences) {
      best = worker;
    }
  }
  return best;
}

absl::Status SequenceRouter::Gone(const Sequence& sequence) {
  return absl::UnavailableError(absl::StrCat(
      "parm-frontend: the server that had sequence ", sequence.key->second,
      " is gone, and its state with it: start the sequence anew"));
}

absl::StatusOr<SequenceRouter::Sequence*> SequenceRouter::FindOrOpen(
    const Step& step, BundleKey bundle, Time now) {
  const Key key{step.model, step.step.id};
  const auto found = sequences_.find(key);
  const bool known = found != sequences_.end();
  if (known && !found->second.failed) return &found->second;
  if (known && !step.step.start) return Gone(found->second);
  if (!step.step.start) {
    return absl::InvalidArgumentError(absl::StrCat(
        "parm-frontend: sequence ", step.step.id,
        " is not open here (it has ended, was idle for too long, or the "
        "frontend was started or configured anew): its first request must say "
        "sequence_start"));
  }
  const std::optional<WorkerId> worker = LeastUsed(step.model, now);
  if (!worker.has_value()) {
    return absl::UnavailableError(
        "parm-frontend: no model server is there for a new sequence");
  }
  if (known) Close(found->second);
  if (sequences_.size() >= options_.max_sequences) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "parm-frontend: too many sequences are open: got ",
        sequences_.size() + 1, ", want at most ", options_.max_sequences));
  }
  const auto opened = sequences_.emplace(key, Sequence()).first;
  Sequence& sequence = opened->second;
  sequence.key = &opened->first;
  sequence.worker = *worker;
  sequence.bundle = bundle;
  sequence.by_use = by_use_.insert(by_use_.end(), &sequence);
  ++ServerOf(*worker).sequences;
  ++parts_.counters->sequences.started;
  return &sequence;
}

void SequenceRouter::Touch(Sequence& sequence, Time now) {
  sequence.last_used = now;
  by_use_.splice(by_use_.end(), by_use_, sequence.by_use);
}

void SequenceRouter::Close(Sequence& sequence) {
  PARM_CHECK(sequence.idle() && sequence.waiting.empty());
  if (!sequence.failed) --ServerOf(sequence.worker).sequences;
  by_use_.erase(sequence.by_use);
  sequences_.erase(Key(*sequence.key));
}

void SequenceRouter::Fail(Sequence& sequence, Time now) {
  Server& server = ServerOf(sequence.worker);
  if (sequence.in_line) {
    server.line.erase(
        std::find(server.line.begin(), server.line.end(), &sequence));
    sequence.in_line = false;
  }
  if (sequence.at_server.has_value()) {
    by_task_.erase(Raw(*sequence.at_server));
    sequence.at_server.reset();
    --server.in_flight;
    Refuse(sequence.asked, Gone(sequence), now);
  }
  for (const Waiting& step : sequence.waiting) {
    parts_.buffers->Release(step.input);
    Refuse(step.query, Gone(sequence), now);
  }
  sequence.waiting.clear();
  sequence.failed = true;
  --server.sequences;
  ++parts_.counters->sequences.failed;
  if (sequence.ending) Close(sequence);
}

void SequenceRouter::OnLost(WorkerId worker, Time now) {
  for (auto next = sequences_.begin(); next != sequences_.end();) {
    Sequence& sequence = (next++)->second;
    if (sequence.worker == worker && !sequence.failed) Fail(sequence, now);
  }
}

// ---- Steps ---------------------------------------------------------------

absl::Status SequenceRouter::Take(Step step, BundleKey bundle, Time now) {
  if (std::all_of(parts_.max_in_flight.begin(), parts_.max_in_flight.end(),
                  [](uint32_t tasks) { return tasks == 0; })) {
    return absl::UnimplementedError(
        "parm-frontend: sequences are not supported: parm-workers keep no "
        "state between requests");
  }
  OnTime(now);
  absl::StatusOr<Sequence*> found = FindOrOpen(step, bundle, now);
  if (found.ok() && (*found)->waiting.size() >= options_.max_waiting) {
    found = absl::ResourceExhaustedError(absl::StrCat(
        "parm-frontend: too many requests of sequence ", step.step.id,
        " wait: want at most ", options_.max_waiting));
  }
  if (!found.ok()) {
    ++parts_.counters->sequences.requests_refused;
    return found.status();
  }
  Sequence& sequence = **found;
  Touch(sequence, now);
  sequence.ending = step.step.end;
  queries_[Raw(step.query)] = {.sequence = &sequence,
                               .model = step.model,
                               .arrived = now,
                               .deadline = step.deadline,
                               .rows = step.inputs.rows};
  deadlines_.emplace(step.deadline, Raw(step.query));
  sequence.waiting.push_back(
      {.query = step.query,
       .input = parts_.buffers->Add(std::move(step.inputs)),
       .deadline = step.deadline});
  StandInLine(sequence);
  Pump(sequence.worker, now);
  return absl::OkStatus();
}

void SequenceRouter::StandInLine(Sequence& sequence) {
  if (!sequence.idle()) return;
  sequence.in_line = true;
  ServerOf(sequence.worker).line.push_back(&sequence);
}

void SequenceRouter::Pump(WorkerId worker, Time now) {
  Server& server = ServerOf(worker);
  while (server.in_flight < parts_.max_in_flight[Raw(worker)] &&
         !server.line.empty()) {
    Sequence& sequence = *server.line.front();
    server.line.pop_front();
    sequence.in_line = false;
    if (sequence.waiting.empty()) {
      CloseIfEnded(sequence);
      continue;
    }
    const Waiting step = sequence.waiting.front();
    sequence.waiting.pop_front();
    const absl::Status sent = Send(sequence, step, now);
    if (absl::IsResourceExhausted(sent)) {
      // That passes, and nobody else can take it: its deadline bounds the wait.
      sequence.waiting.push_front(step);
      sequence.in_line = true;
      server.line.push_front(&sequence);
      return;
    }
    parts_.buffers->Release(step.input);
    if (sent.ok()) continue;
    if (absl::IsUnavailable(sent)) {
      Refuse(step.query, Gone(sequence), now);
      Fail(sequence, now);
      continue;
    }
    Refuse(step.query,
           absl::Status(sent.code(),
                        absl::StrCat("parm-frontend: ", sent.message())),
           now);
    Proceed(sequence);
  }
}

absl::Status SequenceRouter::Send(Sequence& sequence, const Waiting& step,
                                  Time now) {
  const TaskId task{kOwnTasks | ++last_task_};
  const TensorSet& inputs = parts_.buffers->Get(step.input);
  PARM_RETURN_IF_ERROR(parts_.upstream->SendInfer(
      sequence.worker,
      {.task = task,
       .bundle_sha256 = parts_.catalog->Get(sequence.bundle).sha256,
       .budget = step.deadline - now,
       .context = inputs.context.get()},
      inputs.tensors));
  parts_.ledger->Add(task,
                     {.worker = sequence.worker,
                      .bundle = sequence.bundle,
                      .rows = inputs.tensors.at(0).spec.shape.at(0),
                      .member_rows = inputs.rows},
                     step.deadline + parts_.keep_tasks);
  sequence.at_server = task;
  sequence.asked = step.query;
  by_task_[Raw(task)] = &sequence;
  ++ServerOf(sequence.worker).in_flight;
  return absl::OkStatus();
}

void SequenceRouter::OnReply(TaskId task, WorkerId worker,
                             const std::optional<core::TaskReplied>& reply,
                             Time now) {
  if (reply.has_value()) return End(*reply, now);
  const auto found = by_task_.find(Raw(task));
  if (found == by_task_.end() || found->second->worker != worker) return;
  End({.task = task, .worker = worker, .status = core::TaskStatus::kExpired},
      now);
}

void SequenceRouter::End(const core::TaskReplied& reply, Time now) {
  const auto found = by_task_.find(Raw(reply.task));
  if (found != by_task_.end()) {
    Sequence& sequence = *found->second;
    by_task_.erase(found);
    sequence.at_server.reset();
    --ServerOf(reply.worker).in_flight;
    core::AnswerQuery answer{.query = sequence.asked,
                             .model = sequence.key->first,
                             .source = core::AnswerSource::kError,
                             .error = core::AnswerError::kBackend,
                             .output = reply.output,
                             .task = reply.task};
    if (reply.status == core::TaskStatus::kOk) {
      answer.source = core::AnswerSource::kExact;
      answer.error = core::AnswerError::kNone;
    } else if (reply.status == core::TaskStatus::kExpired) {
      answer.error = core::AnswerError::kDeadlineExceeded;
    }
    Answer(answer, now);
    Touch(sequence, now);
    Proceed(sequence);
    Pump(reply.worker, now);
  }
  if (reply.output != BufferId{}) parts_.buffers->Release(reply.output);
}

void SequenceRouter::Proceed(Sequence& sequence) {
  if (sequence.waiting.empty()) {
    CloseIfEnded(sequence);
  } else {
    StandInLine(sequence);
  }
}

void SequenceRouter::CloseIfEnded(Sequence& sequence) {
  if (!sequence.ending || !sequence.idle()) return;
  ++parts_.counters->sequences.ended;
  Close(sequence);
}

// ---- Clients -------------------------------------------------------------

bool SequenceRouter::Abandon(QueryId query) {
  const std::optional<Query> forgotten = Forget(query);
  if (!forgotten.has_value()) return false;
  Withdraw(*forgotten->sequence, query);
  return true;
}

void SequenceRouter::Withdraw(Sequence& sequence, QueryId query) {
  const auto step = std::find_if(
      sequence.waiting.begin(), sequence.waiting.end(),
      [query](const Waiting& waiting) { return waiting.query == query; });
  if (step == sequence.waiting.end()) return;  // it is with the server
  parts_.buffers->Release(step->input);
  sequence.waiting.erase(step);
}

std::optional<SequenceRouter::Query> SequenceRouter::Forget(QueryId query) {
  const auto found = queries_.find(Raw(query));
  if (found == queries_.end()) return std::nullopt;
  const Query about = found->second;
  queries_.erase(found);
  deadlines_.erase({about.deadline, Raw(query)});
  return about;
}

void SequenceRouter::Answer(core::AnswerQuery answer, Time now) {
  const std::optional<Query> about = Forget(answer.query);
  if (!about.has_value()) return;
  const bool ok = answer.source != core::AnswerSource::kError;
  Count(*about, ok, now);
  answer.num_samples = static_cast<uint32_t>(about->rows);
  parts_.on_answer(answer);
}

void SequenceRouter::Refuse(QueryId query, const absl::Status& why, Time now) {
  const std::optional<Query> about = Forget(query);
  if (!about.has_value()) return;
  Count(*about, /*answered=*/false, now);
  parts_.on_failure(query, why);
}

void SequenceRouter::Count(const Query& query, bool answered, Time now) {
  SequenceCounters& counters = parts_.counters->sequences;
  ++(answered ? counters.requests_answered : counters.requests_failed);
  ModelUse& use = parts_.counters->use.at(Raw(query.model));
  (answered ? use.steps_answered : use.steps_failed) +=
      {.count = 1, .ns = static_cast<uint64_t>((now - query.arrived).count())};
}

// ---- Time ----------------------------------------------------------------

Time SequenceRouter::next_wake() const {
  const Time wake = deadlines_.empty() ? kNever : deadlines_.begin()->first;
  // Those that are with their servers stand in front of the others.
  const auto idle =
      std::find_if(by_use_.begin(), by_use_.end(),
                   [](const Sequence* sequence) { return sequence->idle(); });
  if (idle == by_use_.end()) return wake;
  return std::min(wake, (*idle)->last_used + options_.idle_timeout);
}

void SequenceRouter::OnTime(Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const QueryId query{deadlines_.begin()->second};
    Sequence& sequence = *queries_.at(Raw(query)).sequence;
    Withdraw(sequence, query);
    Answer({.query = query,
            .model = sequence.key->first,
            .source = core::AnswerSource::kError,
            .error = core::AnswerError::kDeadlineExceeded},
           now);
  }
  for (auto next = by_use_.begin();
       next != by_use_.end() &&
       now - (*next)->last_used >= options_.idle_timeout;) {
    Sequence& sequence = **next++;
    if (!sequence.idle()) continue;
    ++parts_.counters->sequences.forgotten;
    Close(sequence);
  }
}

}  // namespace parm
