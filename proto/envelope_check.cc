#include "proto/envelope_check.h"

#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/tensor.h"
#include "proto/wire_codec.h"

namespace parm::wire {
namespace {

using TensorSpecs = google::protobuf::RepeatedPtrField<TensorSpec>;

template <typename... Parts>
absl::Status Malformed(const Parts&... parts) {
  return absl::DataLossError(absl::StrCat("malformed envelope: ", parts...));
}

absl::Status CheckText(absl::string_view what, const std::string& text,
                       bool may_be_empty) {
  if (text.size() > kMaxNameBytes) {
    return Malformed(what, " is too long: got ", text.size(), " bytes, limit ",
                     kMaxNameBytes);
  }
  if (text.empty() && !may_be_empty) return Malformed(what, " is empty");
  return absl::OkStatus();
}

absl::Status CheckDigest(absl::string_view what, const std::string& digest) {
  if (digest.size() == kDigestBytes) return absl::OkStatus();
  return Malformed(what, " has a wrong size: got ", digest.size(),
                   " bytes, want ", kDigestBytes);
}

absl::Status CheckTaskId(uint64_t task_id) {
  if (task_id != 0) return absl::OkStatus();
  return Malformed("task_id is 0");
}

absl::Status CheckNotNegative(absl::string_view what, int64_t value) {
  if (value >= 0) return absl::OkStatus();
  return Malformed(what, " is negative: got ", value);
}

// `variable`: a dimension may be -1, as in a worker's Hello.
absl::Status CheckSpec(const TensorSpec& spec, bool variable) {
  PARM_RETURN_IF_ERROR(
      CheckText("tensor name", spec.name(), /*may_be_empty=*/false));
  if (!DataType_IsValid(spec.datatype()) ||
      spec.datatype() == DATA_TYPE_INVALID) {
    return Malformed("datatype of tensor ", spec.name(), " is unknown: got ",
                     static_cast<int>(spec.datatype()));
  }
  if (spec.shape_size() > kMaxRank) {
    return Malformed("rank of tensor ", spec.name(), " is too high: got ",
                     spec.shape_size(), ", limit ", kMaxRank);
  }
  std::vector<int64_t> shape(spec.shape().begin(), spec.shape().end());
  if (variable) {
    for (int64_t& dimension : shape) {
      if (dimension == -1) dimension = 1;
    }
  }
  // The widest element bounds the bytes of every datatype.
  if (absl::Status status = NumBytes(parm::DataType::kFp64, shape).status();
      !status.ok()) {
    return Malformed("tensor ", spec.name(), ": ", status.message());
  }
  return absl::OkStatus();
}

absl::Status CheckSpecs(absl::string_view what, const TensorSpecs& specs,
                        bool variable) {
  if (specs.size() > kMaxTensors) {
    return Malformed("too many ", what, ": got ", specs.size(), ", limit ",
                     kMaxTensors);
  }
  for (const TensorSpec& spec : specs) {
    PARM_RETURN_IF_ERROR(CheckSpec(spec, variable));
  }
  return absl::OkStatus();
}

absl::Status CheckLineage(const Lineage& lineage) {
  PARM_RETURN_IF_ERROR(
      CheckDigest("lineage.deployed_sha256", lineage.deployed_sha256()));
  const Code& code = lineage.code();
  PARM_RETURN_IF_ERROR(
      CheckText("code.scheme", code.scheme(), /*may_be_empty=*/false));
  if (code.k() < 1 || code.k() > kMaxK || code.r() < 1 || code.r() > kMaxR) {
    return Malformed("code is out of range: got k=", code.k(), " r=", code.r(),
                     ", limits k=", kMaxK, " r=", kMaxR);
  }
  if (lineage.parity_index() >= code.r()) {
    return Malformed("parity_index is out of range: got ",
                     lineage.parity_index(), ", want less than r=", code.r());
  }
  return absl::OkStatus();
}

absl::Status CheckBins(
    const google::protobuf::RepeatedPtrField<CalibrationBin>& bins) {
  for (int i = 0; i < bins.size(); ++i) {
    const CalibrationBin& bin = bins.Get(i);
    if (!std::isfinite(bin.margin_at_least()) ||
        (i > 0 && bin.margin_at_least() <= bins.Get(i - 1).margin_at_least())) {
      return Malformed("calibration margins do not ascend: got ",
                       bin.margin_at_least(), " in bin ", i);
    }
    // Not "outside": what is not a number is refused too.
    if (!(bin.probability_right() >= 0 && bin.probability_right() <= 1)) {
      return Malformed("calibration of bin ", i, " is no probability: got ",
                       bin.probability_right());
    }
  }
  return absl::OkStatus();
}

// Of a bundle without lineage there is none: its k and r are 0.
absl::Status CheckPatterns(const BundleInfo& bundle) {
  const Lineage& lineage = bundle.lineage();
  std::set<std::pair<uint32_t, uint32_t>> seen;
  for (const PatternCalibration& pattern : bundle.pattern_calibration()) {
    if (pattern.losses() < 1 || pattern.losses() > lineage.code().k()) {
      return Malformed("losses of a pattern are out of range: got ",
                       pattern.losses(), ", want 1 to k=", lineage.code().k());
    }
    if (pattern.parities() >> lineage.code().r() != 0 ||
        (pattern.parities() >> lineage.parity_index() & 1U) == 0) {
      return Malformed("parities of a pattern are out of range: got mask ",
                       pattern.parities(),
                       ", want bits below r=", lineage.code().r(), ", and bit ",
                       lineage.parity_index());
    }
    if (!seen.emplace(pattern.losses(), pattern.parities()).second) {
      return Malformed("a pattern is there twice: got ", pattern.losses(),
                       " losses, parities of mask ", pattern.parities());
    }
    PARM_RETURN_IF_ERROR(CheckBins(pattern.calibration()));
  }
  return absl::OkStatus();
}

absl::Status CheckAccuracies(const BundleInfo& bundle) {
  // Not "outside": what is not a number is refused too.
  const auto is_share = [](double value) { return value >= 0 && value <= 1; };
  if (!is_share(bundle.deployed_accuracy())) {
    return Malformed("deployed_accuracy is no share: got ",
                     bundle.deployed_accuracy());
  }
  if (bundle.degraded_accuracy_size() > static_cast<int>(kMaxK)) {
    return Malformed("too many accuracies: got ",
                     bundle.degraded_accuracy_size(), ", limit ", kMaxK);
  }
  for (const double accuracy : bundle.degraded_accuracy()) {
    if (is_share(accuracy)) continue;
    return Malformed("degraded_accuracy is no share: got ", accuracy);
  }
  return absl::OkStatus();
}

absl::Status CheckBundleInfo(const BundleInfo& bundle) {
  PARM_RETURN_IF_ERROR(CheckDigest("bundle sha256", bundle.sha256()));
  PARM_RETURN_IF_ERROR(
      CheckText("bundle model", bundle.model(), /*may_be_empty=*/false));
  PARM_RETURN_IF_ERROR(
      CheckText("bundle variant", bundle.variant(), /*may_be_empty=*/true));
  PARM_RETURN_IF_ERROR(
      CheckText("bundle version", bundle.version(), /*may_be_empty=*/true));
  if (!Role_IsValid(bundle.role()) || bundle.role() == ROLE_UNSPECIFIED) {
    return Malformed("bundle role is unknown: got ",
                     static_cast<int>(bundle.role()));
  }
  if (bundle.inputs().empty() || bundle.outputs().empty()) {
    return Malformed("bundle ", bundle.model(), " lacks inputs or outputs");
  }
  PARM_RETURN_IF_ERROR(CheckSpecs("inputs", bundle.inputs(), true));
  PARM_RETURN_IF_ERROR(CheckSpecs("outputs", bundle.outputs(), true));
  if (bundle.has_lineage() != (bundle.role() == PARITY)) {
    return Malformed(
        "bundle ", bundle.model(), " of role ", Role_Name(bundle.role()),
        bundle.has_lineage() ? " has a lineage" : " lacks lineage");
  }
  if (bundle.has_lineage()) {
    PARM_RETURN_IF_ERROR(CheckLineage(bundle.lineage()));
  }
  if (!std::isfinite(bundle.relative_cost()) || bundle.relative_cost() < 0) {
    return Malformed("relative_cost is no cost: got ", bundle.relative_cost());
  }
  PARM_RETURN_IF_ERROR(CheckAccuracies(bundle));
  PARM_RETURN_IF_ERROR(CheckBins(bundle.calibration()));
  return CheckPatterns(bundle);
}

absl::Status CheckHello(const Hello& hello) {
  PARM_RETURN_IF_ERROR(
      CheckText("worker_id", hello.worker_id(), /*may_be_empty=*/false));
  PARM_RETURN_IF_ERROR(
      CheckText("fault_domain", hello.fault_domain(), /*may_be_empty=*/true));
  if (hello.lanes() < 1 || hello.lanes() > kMaxLanes) {
    return Malformed("lanes out of range: got ", hello.lanes(), ", want 1 to ",
                     kMaxLanes);
  }
  if (hello.bundles_size() > kMaxBundles) {
    return Malformed("too many bundles: got ", hello.bundles_size(), ", limit ",
                     kMaxBundles);
  }
  for (const BundleInfo& bundle : hello.bundles()) {
    PARM_RETURN_IF_ERROR(CheckBundleInfo(bundle));
  }
  return absl::OkStatus();
}

absl::Status CheckInfer(const Infer& infer) {
  PARM_RETURN_IF_ERROR(CheckTaskId(infer.task_id()));
  PARM_RETURN_IF_ERROR(CheckDigest("bundle_sha256", infer.bundle_sha256()));
  if (infer.priority() > 1) {
    return Malformed("priority is unknown: got ", infer.priority());
  }
  PARM_RETURN_IF_ERROR(
      CheckNotNegative("remaining_budget_us", infer.remaining_budget_us()));
  return CheckSpecs("tensors", infer.tensors(), false);
}

absl::Status CheckReply(const Reply& reply) {
  PARM_RETURN_IF_ERROR(CheckTaskId(reply.task_id()));
  if (!ReplyStatus_IsValid(reply.status()) ||
      reply.status() == REPLY_STATUS_UNSPECIFIED) {
    return Malformed("reply status is unknown: got ",
                     static_cast<int>(reply.status()));
  }
  if (reply.status() != OK) {
    if (reply.exit_stage() != 0) {
      return Malformed("an exit reply has status ",
                       ReplyStatus_Name(reply.status()));
    }
    if (!reply.tensors().empty()) {
      return Malformed("a reply of status ", ReplyStatus_Name(reply.status()),
                       " has tensors");
    }
  }
  PARM_RETURN_IF_ERROR(CheckNotNegative("queue_us", reply.queue_us()));
  PARM_RETURN_IF_ERROR(CheckNotNegative("compute_us", reply.compute_us()));
  if (reply.error().size() > kMaxErrorBytes) {
    return Malformed("error text is too long: got ", reply.error().size(),
                     " bytes, limit ", kMaxErrorBytes);
  }
  return CheckSpecs("tensors", reply.tensors(), false);
}

}  // namespace

absl::Status CheckEnvelope(const Envelope& envelope) {
  switch (envelope.message_case()) {
    case Envelope::kHelloRequest:
      return CheckText("frontend_id", envelope.hello_request().frontend_id(),
                       /*may_be_empty=*/true);
    case Envelope::kHello:
      return CheckHello(envelope.hello());
    case Envelope::kInfer:
      return CheckInfer(envelope.infer());
    case Envelope::kStarted:
      return CheckTaskId(envelope.started().task_id());
    case Envelope::kReply:
      return CheckReply(envelope.reply());
    case Envelope::kCancel:
      return CheckTaskId(envelope.cancel().task_id());
    case Envelope::kHeartbeat:
    case Envelope::kDrain:
    case Envelope::kHeartbeatRequest:
      return absl::OkStatus();
    case Envelope::MESSAGE_NOT_SET:
      break;
  }
  return Malformed("no known message");
}

}  // namespace parm::wire
