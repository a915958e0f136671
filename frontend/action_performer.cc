#include "frontend/action_performer.h"

#include <utility>
#include <variant>

#include "base/status_macros.h"
#include "encoder/confidence.h"
#include "frontend/bundle_confidence.h"
#include "frontend/tensor_rows.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

void ActionPerformer::Emit(const core::Action& action) {
  std::visit([this](const auto& concrete) { Perform(concrete); }, action);
}

core::Event ActionPerformer::TakeEvent() {
  core::Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

absl::StatusOr<TensorSet> ActionPerformer::Inputs(
    const core::DispatchTask& action) const {
  PARM_CHECK(!action.inputs.empty());
  const TensorSet& first = parts_.buffers->Get(action.inputs[0]);
  const CatalogBundle& bundle = parts_.catalog->Get(action.bundle);
  TensorSet inputs;
  for (size_t i = 0; i < first.tensors.size(); ++i) {
    MemberTensors parts;
    for (const BufferId id : action.inputs) {
      parts.push_back(&parts_.buffers->Get(id).tensors.at(i));
    }
    PARM_ASSIGN_OR_RETURN(oip::Tensor tensor, JoinRows(parts));
    // A parity query is named after its members, not after its own model.
    if (i < bundle.inputs.size()) tensor.spec.name = bundle.inputs[i].name;
    inputs.tensors.push_back(std::move(tensor));
  }
  if (action.inputs.size() == 1 && bundle.role == core::BundleRole::kDeployed) {
    inputs.context = first.context;
  }
  const bool parity = bundle.role != core::BundleRole::kDeployed;
  inputs.rows = parity ? first.rows : inputs.tensors.at(0).spec.shape.at(0);
  return inputs;
}

void ActionPerformer::Perform(const core::DispatchTask& action) {
  core::TaskNotSent not_sent{.task = action.task, .worker = action.worker};
  const absl::StatusOr<TensorSet> inputs = Inputs(action);
  if (!inputs.ok()) {
    ++counters_.join_failures;
    not_sent.unsendable = true;
    events_.emplace_back(not_sent);
    return;
  }
  const absl::Status sent = parts_.upstream->SendInfer(
      action.worker,
      {.task = action.task,
       .bundle_sha256 = parts_.catalog->Get(action.bundle).sha256,
       .priority = action.priority,
       .luck = action.luck,
       .budget = action.deadline - Clock::now(),
       .context = inputs->context.get()},
      inputs->tensors);
  if (!sent.ok()) {
    not_sent.unsendable = sent.code() == absl::StatusCode::kOutOfRange;
    events_.emplace_back(not_sent);
    return;
  }
  parts_.ledger->Add(action.task,
                     {.worker = action.worker,
                      .bundle = action.bundle,
                      .rows = inputs->tensors[0].spec.shape[0],
                      .member_rows = inputs->rows},
                     action.deadline + parts_.keep_tasks);
}

void ActionPerformer::Perform(const core::CancelTask& action) {
  // Refused only where the connection is lost, and the task with it.
  parts_.upstream->SendCancel(action.worker, action.task).IgnoreError();
}

void ActionPerformer::Perform(const core::EncodeParity& action) {
  const Time start = Clock::now();
  std::vector<MemberTensors> members;
  for (const core::MemberInputs& member : action.members) {
    members.emplace_back();
    for (const BufferId id : member.inputs) {
      members.back().push_back(&parts_.buffers->Get(id).tensors.at(0));
    }
  }
  core::ParityEncoded done{
      .group = action.group, .parity_index = action.parity_index, .ok = false};
  absl::StatusOr<oip::Tensor> parity = EncodeParityQuery(
      CodeOf(action.model, action.unit), action.parity_index, members);
  if (parity.ok()) {
    TensorSet set;
    for (const oip::Tensor* tensor : members[0]) {
      set.rows += tensor->spec.shape.at(0);
    }
    done.ok = true;
    done.bytes = parity->data.size();
    set.tensors.push_back(*std::move(parity));
    done.parity = parts_.buffers->Add(std::move(set));
  } else {
    spdlog::debug("group {} cannot be encoded: {}", Raw(action.group),
                  std::string(parity.status().message()));
  }
  counters_.encode_time.Record(Clock::now() - start);
  events_.emplace_back(done);
}

// Of what arrived more may be there than the code needs: what it did use tells
// how good the decode is, and whose tables count.
std::optional<float> ActionPerformer::Confidence(
    const core::DecodeMember& action, const DecodedOutput& decoded) const {
  const Code& code = CodeOf(action.model, action.unit);
  const auto k = static_cast<size_t>(code.spec().k);
  DecodePattern pattern = {.losses = 0, .parities = decoded.report.used >> k};
  for (const BufferId id : action.outputs.first(action.num_members)) {
    pattern.losses += id == BufferId{} ? 1 : 0;
  }
  std::vector<absl::Span<const ConfidenceStep>> tables;
  for (size_t slot = k; slot < action.outputs.size(); ++slot) {
    if ((decoded.report.used >> slot & 1U) == 0) continue;
    const std::optional<BundleKey> bundle =
        parts_.buffers->Get(action.outputs[slot]).bundle;
    if (!bundle.has_value()) return std::nullopt;
    tables.push_back(
        TableFor(parts_.catalog->Get(*bundle).confidence, code, pattern));
  }
  return ConfidenceOfDecode(tables, decoded.tensor);
}

void ActionPerformer::Perform(const core::DecodeMember& action) {
  const Time start = Clock::now();
  std::vector<const oip::Tensor*> outputs;
  int64_t rows = 0;
  for (const BufferId id : action.outputs) {
    if (id == BufferId{}) {
      outputs.push_back(nullptr);
      continue;
    }
    const TensorSet& set = parts_.buffers->Get(id);
    outputs.push_back(&set.tensors.at(0));
    rows = set.rows;  // the same for all members of a group
  }
  core::MemberDecoded done{
      .group = action.group, .member = action.member, .ok = false};
  absl::StatusOr<DecodedOutput> decoded = DecodeMemberOutput(
      CodeOf(action.model, action.unit), action.num_members, outputs,
      action.member, parts_.catalog->Get(action.deployed).outputs.at(0), rows);
  if (decoded.ok()) {
    done.ok = true;
    done.noise_gain = decoded->report.noise_gain;
    done.confidence = Confidence(action, *decoded);
    TensorSet set{.rows = rows};
    set.tensors.push_back(std::move(decoded->tensor));
    done.output = parts_.buffers->Add(std::move(set));
  } else {
    spdlog::debug("group {} member {} cannot be decoded: {}", Raw(action.group),
                  int{action.member}, std::string(decoded.status().message()));
  }
  counters_.decode_time.Record(Clock::now() - start);
  events_.emplace_back(done);
}

void ActionPerformer::Perform(const core::AnswerQuery& action) {
  parts_.host->OnAnswer(action);
}

void ActionPerformer::Perform(const core::CompareOutputs& action) {
  const ClassAgreement agreement =
      CompareTopClass(parts_.buffers->Get(action.decoded).tensors.at(0),
                      parts_.buffers->Get(action.original).tensors.at(0));
  events_.emplace_back(core::OutputsCompared{.model = action.model,
                                             .compared = agreement.compared,
                                             .agreed = agreement.agreed});
}

void ActionPerformer::Perform(const core::ReleaseBuffer& action) {
  parts_.buffers->Release(action.buffer);
}

void ActionPerformer::Perform(const core::ProbeWorker& action) {
  // Without a connection, the upstream is making one, and says hello then.
  parts_.upstream->SendProbe(action.worker).IgnoreError();
}

void ActionPerformer::Perform(const core::WakeAt& action) {
  parts_.host->OnWakeAt(action.time);
}

}  // namespace parm
