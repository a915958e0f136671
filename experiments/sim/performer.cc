#include "experiments/sim/performer.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace parm::sim {

namespace {

using core::TaskStatus;

// What a draw is for, besides the task or group.
enum Use : uint64_t {
  kOut = 1,
  kBack,
  kAgain,
  kLost,
  kTwice,
  kGarbage,
  kRefused,
  kWorks,
  kGain,
  kTrust,
};

// A reply's status and marks in SimEvent::small.
constexpr uint8_t kRetryableBit = 16;
constexpr uint8_t kUndecodableBit = 32;
constexpr uint8_t kStatusMask = 15;

}  // namespace

Performer::Performer(const Scenario& scenario, const Draws& draws,
                     uint8_t frontend)
    : buffers(violations),
      queries(scenario.core.models, violations),
      connections(scenario.workers.size()),
      scenario_(scenario),
      draws_(draws),
      frontend_(frontend),
      groups_(std::max(kGroupsRemembered,
                       kGroupsPerWorker * scenario.workers.size())) {}

void Performer::Emit(const core::Action& action) {
  ++num_actions_;
  Trace(action.index(), now.time_since_epoch().count());
  std::visit([this](const auto& a) { On(a); }, action);
}

bool Performer::Fails(double rate, Purpose purpose, uint64_t a,
                      uint64_t b) const {
  return faults_ && draws_.Happens(rate, purpose, a, b);
}

void Performer::Later(SimEvent event) {
  event.at = now + draws_.Between(scenario_.network_min, scenario_.network_max,
                                  Purpose::kNetwork, event.id,
                                  Draws::Mix(event.worker) ^
                                      static_cast<uint64_t>(event.what));
  if (event.worker < connections.size()) {
    event.epoch = connections[event.worker].epoch;
  }
  events.Push(event);
}

void Performer::Disconnect(uint32_t worker) {
  connections[worker].up = false;
  ++connections[worker].epoch;
}

core::QueryArrived Performer::NewQuery(const SimQuery& query,
                                       uint32_t signature) {
  const QueryId id = queries.Add(query);
  const BufferId input = buffers.Add(query.value, query.samples);
  if (query_of_input_.size() <= Raw(input)) {
    query_of_input_.resize(Raw(input) + 1);
  }
  query_of_input_[Raw(input)] = id;
  return {.query = id,
          .model = query.model,
          .deployed = DeployedBundle(Raw(query.model)),
          .signature = signature,
          .samples = query.samples,
          .bytes = query.samples * scenario_.bytes_per_sample,
          .input = input,
          .deadline = query.deadline,
          .mode = query.mode};
}

// Row r of a batch weighs 2r + 1.
Content Performer::BatchContent(absl::Span<const BufferId> inputs,
                                uint32_t* rows) {
  Content content = 0;
  *rows = 0;
  for (const BufferId input : inputs) {
    content += buffers.Read(input, "a batch") * (2 * *rows + 1);
    *rows += buffers.Rows(input);
  }
  return content;
}

void Performer::NoteDispatched(const core::DispatchTask& task,
                               Content content) {
  uint32_t row = 0;
  for (const BufferId input : task.inputs) {
    if (Raw(input) >= query_of_input_.size()) continue;
    queries.Dispatched(query_of_input_[Raw(input)], row, content, task);
    row += buffers.Rows(input);
  }
}

void Performer::On(const core::DispatchTask& a) {
  const uint32_t worker = Raw(a.worker);
  Trace(Raw(a.task), worker, Raw(a.bundle), a.attempt, a.priority,
        a.deadline.time_since_epoch().count(), a.inputs.size());
  ++num_tasks_[static_cast<size_t>(a.attempt)];
  SimTask task = {.task = a.task,
                  .bundle = a.bundle,
                  .attempt = a.attempt,
                  .deadline = a.deadline};
  task.redundant = a.priority > 0;
  if (a.attempt == core::AttemptType::kParity) {
    violations.Check(a.inputs.size() == 1, "parity task without its query");
    task.input = buffers.Read(a.inputs[0], "a parity task");
    task.rows = buffers.Rows(a.inputs[0]);
  } else {
    task.input = BatchContent(a.inputs, &task.rows);
    NoteDispatched(a, task.input);
  }
  // On awaking, timers that are due for long run in one call.
  violations.Check(a.deadline >= now || now == awake_since_,
                   "task sent after its deadline: attempt ",
                   static_cast<int>(a.attempt));
  task.work = task.rows;
  task.luck = Raw(a.luck);
  // Each core counts its queries from 1.
  if (frontend_ > 0) task.luck ^= Draws::Mix(frontend_);
  task.frontend = frontend_;
  const bool up = connections[worker].up;
  if (Fails(up ? scenario_.faults.not_sent : 0.5, Purpose::kFate, Raw(a.task),
            kRefused)) {
    events.Push({.at = now,
                 .what = Happening::kNotSentAtFrontend,
                 .worker = worker,
                 .id = Raw(a.task)});
    return;
  }
  if (!up) return;
  uint32_t index;
  if (free_in_flight_.empty()) {
    index = static_cast<uint32_t>(in_flight_.size());
    in_flight_.emplace_back();
  } else {
    index = free_in_flight_.back();
    free_in_flight_.pop_back();
  }
  in_flight_[index] = task;
  const Duration delay =
      draws_.Between(scenario_.network_min, scenario_.network_max,
                     Purpose::kNetwork, Raw(a.task), kOut);
  events.Push({.at = now + delay,
               .what = Happening::kTaskAtWorker,
               .worker = worker,
               .epoch = connections[worker].epoch,
               .id = index});
}

const SimTask* Performer::Deliver(const SimEvent& happened) {
  const auto index = static_cast<uint32_t>(happened.id);
  delivered_ = in_flight_[index];
  free_in_flight_.push_back(index);
  return happened.epoch == connections[happened.worker].epoch ? &delivered_
                                                              : nullptr;
}

void Performer::On(const core::CancelTask& a) {
  Trace(Raw(a.task), Raw(a.worker));
  if (!connections[Raw(a.worker)].up) return;
  Later({.what = Happening::kCancelAtWorker,
         .worker = Raw(a.worker),
         .id = Raw(a.task)});
}

Performer::GroupRecord& Performer::NewRecord(GroupId group) {
  GroupRecord& record = groups_[next_group_];
  next_group_ = (next_group_ + 1) % groups_.size();
  group_index_.erase(Raw(record.group));
  record = {.group = group};
  group_index_[Raw(group)] = static_cast<size_t>(&record - groups_.data());
  return record;
}

Performer::GroupRecord* Performer::FindRecord(GroupId group) {
  const auto found = group_index_.find(Raw(group));
  return found == group_index_.end() ? nullptr : &groups_[found->second];
}

void Performer::On(const core::EncodeParity& a) {
  Trace(Raw(a.group), a.parity_index, a.members.size());
  GroupRecord* record = FindRecord(a.group);
  if (record == nullptr) record = &NewRecord(a.group);
  const Code& code = *scenario_.core.models[Raw(a.model)].code;
  violations.Check(!a.members.empty() &&
                       a.members.size() <= static_cast<size_t>(code.spec().k),
                   "group has a wrong number of members: ", a.members.size());
  record->num_members = static_cast<uint32_t>(a.members.size());
  Content parity = 0;
  uint32_t rows = 0;
  for (size_t i = 0; i < a.members.size(); ++i) {
    uint32_t member_rows = 0;
    record->members[i] = BatchContent(a.members[i].inputs, &member_rows);
    violations.Check(i == 0 || member_rows == rows, "members differ in size");
    rows = member_rows;
    parity += record->members[i];
  }
  record->parities[a.parity_index] = parity;
  events.Push({.at = now + scenario_.encode_time,
               .what = Happening::kEncoded,
               .small = a.parity_index,
               .buffer = rows,
               .id = Raw(a.group),
               .content = parity});
}

void Performer::On(const core::DecodeMember& a) {
  Trace(Raw(a.group), a.member);
  const GroupRecord* const record = FindRecord(a.group);
  const Code& code = *scenario_.core.models[Raw(a.model)].code;
  if (record == nullptr || a.member >= record->num_members ||
      a.num_members != record->num_members) {
    violations.Add("decode of an unknown group or member: ", Raw(a.group));
    return;
  }
  ArrivalMask arrived = 0;
  const auto k = static_cast<size_t>(code.spec().k);
  for (size_t slot = 0; slot < a.outputs.size(); ++slot) {
    if (a.outputs[slot] == BufferId{}) continue;
    arrived |= ArrivalMask{1} << slot;
    const Content input =
        slot < k ? record->members[slot] : record->parities[slot - k];
    violations.Check(
        buffers.Read(a.outputs[slot], "a decode") == ModelOutput(input),
        "decode uses an output of another batch: group ", Raw(a.group));
  }
  violations.Check(code.Suffices(a.num_members, arrived, a.member),
                   "decode from too little: group ", Raw(a.group));
  events.Push({.at = now + scenario_.decode_time,
               .what = Happening::kDecoded,
               .small = a.member,
               .worker = Raw(a.model),
               .id = Raw(a.group),
               .content = ModelOutput(record->members[a.member])});
}

void Performer::On(const core::AnswerQuery& a) {
  Trace(Raw(a.query), a.source, a.error, a.first_sample, a.num_samples);
  queries.Answered(a, now, buffers);
}

void Performer::On(const core::CompareOutputs& a) {
  Trace(Raw(a.model));
  violations.Check(buffers.Read(a.decoded, "a comparison") ==
                       buffers.Read(a.original, "a comparison"),
                   "comparison of two different batches");
  events.Push({.at = now + scenario_.decode_time,
               .what = Happening::kCompared,
               .worker = Raw(a.model)});
}

void Performer::On(const core::ReleaseBuffer& a) { buffers.Release(a.buffer); }

void Performer::On(const core::ProbeWorker& a) {
  Trace(Raw(a.worker));
  Later({.what = Happening::kProbeAtWorker, .worker = Raw(a.worker)});
}

void Performer::On(const core::WakeAt& a) {
  violations.Check(a.time > now, "wake asked for in the past");
  wake = a.time;
}

void Performer::ScheduleDone(uint32_t worker, uint32_t lane, uint32_t epoch,
                             Duration span) {
  events.Push({.at = now + span,
               .what = Happening::kServiceDone,
               .small = static_cast<uint8_t>(lane),
               .worker = worker,
               .epoch = epoch});
}

void Performer::SendStarted(uint32_t worker, const SimTask& task) {
  if (!connections[worker].up) return;
  Later({.what = Happening::kStartedAtFrontend,
         .worker = worker,
         .id = Raw(task.task)});
}

void Performer::SendReply(uint32_t worker, const SimTask& task,
                          TaskStatus status, bool retryable) {
  if (!connections[worker].up) return;
  const uint64_t id = Raw(task.task);
  const FaultRates& faults = scenario_.faults;
  if (Fails(faults.never_answered, Purpose::kFate, task.luck, kLost)) return;
  SimEvent reply = {.what = Happening::kReplyAtFrontend,
                    .small = static_cast<uint8_t>(status),
                    .worker = worker,
                    .buffer = task.rows,
                    .epoch = connections[worker].epoch,
                    .id = id,
                    .content = ModelOutput(task.input),
                    .service = task.service};
  if (retryable) reply.small |= kRetryableBit;
  if (Fails(faults.undecodable, Purpose::kFate, task.luck, kGarbage)) {
    reply.small |= kUndecodableBit;
  }
  reply.at = now + task.reply_delay +
             draws_.Between(scenario_.network_min, scenario_.network_max,
                            Purpose::kNetwork, id, kBack);
  events.Push(reply);
  if (Fails(faults.duplicate_reply, Purpose::kFate, task.luck, kTwice)) {
    reply.at += draws_.Between(Duration{0}, scenario_.service,
                               Purpose::kNetwork, id, kAgain);
    events.Push(reply);
  }
}

bool Performer::ReplyToCoreEvent(const SimEvent& happened, core::Event* event) {
  const auto status = static_cast<TaskStatus>(happened.small & kStatusMask);
  core::TaskReplied reply = {
      .task = TaskId{happened.id},
      .worker = WorkerId{happened.worker},
      .status = status,
      .retryable = (happened.small & kRetryableBit) != 0,
      .decodable = (happened.small & kUndecodableBit) == 0,
      .compute = happened.service,
  };
  if (status == TaskStatus::kOk) {
    reply.output = buffers.Add(happened.content, happened.buffer);
  }
  *event = reply;
  return true;
}

bool Performer::EncodedToCoreEvent(const SimEvent& happened,
                                   core::Event* event) {
  core::ParityEncoded encoded = {.group = GroupId{happened.id},
                                 .parity_index = happened.small};
  encoded.ok = !Fails(scenario_.faults.encode_failure, Purpose::kEncode,
                      happened.id, kWorks);
  if (encoded.ok) {
    encoded.parity = buffers.Add(happened.content, happened.buffer);
    encoded.bytes = scenario_.bytes_per_sample * happened.buffer;
  }
  *event = encoded;
  return true;
}

bool Performer::DecodedToCoreEvent(const SimEvent& happened,
                                   core::Event* event) {
  const uint64_t id = happened.id;
  const core::DecodeOptions& options =
      scenario_.core.models[happened.worker].decode;
  core::MemberDecoded decoded = {.group = GroupId{id},
                                 .member = happened.small};
  decoded.ok = !Fails(scenario_.faults.decode_failure, Purpose::kDecode, id,
                      Draws::Mix(happened.small) ^ kWorks);
  if (Fails(scenario_.faults.decode_failure, Purpose::kDecode, id, kGain)) {
    decoded.noise_gain = 2 * options.max_noise_gain;
  }
  if (options.min_confidence) {
    decoded.confidence = static_cast<float>(
        draws_.Unit(Purpose::kDecode, id, Draws::Mix(happened.small) ^ kTrust));
  }
  if (decoded.ok) decoded.output = buffers.Add(happened.content);
  *event = decoded;
  return true;
}

bool Performer::ToCoreEvent(const SimEvent& happened, core::Event* event) {
  const WorkerId worker{happened.worker};
  const bool current = happened.worker < connections.size() &&
                       happened.epoch == connections[happened.worker].epoch;
  switch (happened.what) {
    case Happening::kReplyAtFrontend:
      return current && ReplyToCoreEvent(happened, event);
    case Happening::kStartedAtFrontend:
      *event = core::TaskStarted{.task = TaskId{happened.id}, .worker = worker};
      return current;
    case Happening::kHeardAtFrontend:
      *event = core::WorkerHeard{.worker = worker,
                                 .has_depths = happened.small != 0};
      return current;
    case Happening::kDrainingAtFrontend:
      *event = core::WorkerDraining{.worker = worker};
      return current;
    case Happening::kDownAtFrontend:
      *event = core::WorkerDown{.worker = worker};
      return true;
    case Happening::kNotSentAtFrontend:
      *event = core::TaskNotSent{.task = TaskId{happened.id}, .worker = worker};
      return true;
    case Happening::kEncoded:
      return EncodedToCoreEvent(happened, event);
    case Happening::kDecoded:
      return DecodedToCoreEvent(happened, event);
    case Happening::kCompared:
      *event = core::OutputsCompared{
          .model = ModelId{happened.worker}, .compared = 1, .agreed = 1};
      return true;
    default:
      return false;
  }
}

}  // namespace parm::sim
