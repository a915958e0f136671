#include "frontend/upstream/oip/known_bundle.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/atomic_file.h"
#include "proto/bundle.h"
#include "proto/npy_header.h"
#include "proto/sha256.h"
#include "proto/wire_codec.h"

namespace parm {
namespace {

constexpr float kTolerance = 0.01F;  // of the range of the outputs
constexpr int64_t kMaxProbeBytes = int64_t{1} << 30;

absl::StatusOr<oip::Tensor> ReadNpy(const std::string& path) {
  PARM_ASSIGN_OR_RETURN(const std::string text,
                        ReadWholeFile(path, kMaxProbeBytes));
  PARM_ASSIGN_OR_RETURN(const NpyHeader header, ParseNpyHeader(text, path));
  oip::Tensor tensor{
      .spec = {.datatype = header.datatype, .shape = header.shape}};
  PARM_ASSIGN_OR_RETURN(const int64_t size,
                        NumBytes(header.datatype, header.shape));
  if (header.size + static_cast<size_t>(size) != text.size()) {
    return absl::DataLossError(absl::StrCat("wrong size of ", path));
  }
  tensor.data = Buffer::FromString(text.substr(header.size));
  return tensor;
}

absl::Span<const float> Floats(const oip::Tensor& tensor) {
  return {reinterpret_cast<const float*>(tensor.data.bytes().data()),
          tensor.data.size() / sizeof(float)};
}

void SetSpecs(const std::vector<TensorSpec>& specs,
              google::protobuf::RepeatedPtrField<wire::TensorSpec>* out) {
  out->Clear();
  for (const TensorSpec& spec : specs) *out->Add() = wire::ToWire(spec);
}

// -1 on either side takes any size.
bool Fits(const TensorSpec& got, const TensorSpec& want) {
  return got.datatype == want.datatype &&
         std::equal(got.shape.begin(), got.shape.end(), want.shape.begin(),
                    want.shape.end(), [](int64_t a, int64_t b) {
                      return a == b || a < 0 || b < 0;
                    });
}

std::string Describe(const TensorSpec& spec) {
  return absl::StrCat(DataTypeName(spec.datatype), " ",
                      ShapeToString(spec.shape));
}

absl::Status CheckSpecs(
    absl::string_view what, const std::vector<TensorSpec>& got,
    const google::protobuf::RepeatedPtrField<wire::TensorSpec>& want) {
  if (got.size() != static_cast<size_t>(want.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("number of ", what, "s: the server says ", got.size(),
                     ", the bundle ", want.size()));
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const TensorSpec bundle = wire::FromWire(want[static_cast<int>(i)]);
    if (Fits(got[i], bundle)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(what, " '", got[i].name, "': the server says ",
                     Describe(got[i]), ", the bundle ", Describe(bundle)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const KnownBundle>> LoadKnownBundle(
    const std::string& directory) {
  PARM_ASSIGN_OR_RETURN(const Bundle bundle, LoadBundle(directory));
  auto known = std::make_shared<KnownBundle>();
  known->info = ToBundleInfo(bundle);
  if (!bundle.manifest.has_probes()) return known;
  const bundle::Probes& probes = bundle.manifest.probes();
  PARM_ASSIGN_OR_RETURN(
      known->probe_inputs,
      ReadNpy(absl::StrCat(directory, "/", probes.inputs_npy())));
  PARM_ASSIGN_OR_RETURN(
      known->probe_outputs,
      ReadNpy(absl::StrCat(directory, "/", probes.outputs_npy())));
  const std::vector<int64_t>& inputs = known->probe_inputs.spec.shape;
  const std::vector<int64_t>& outputs = known->probe_outputs.spec.shape;
  if (inputs.empty() || outputs.empty() || inputs[0] != outputs[0] ||
      known->probe_outputs.data.empty() ||
      known->probe_outputs.spec.datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(absl::StrCat(
        directory, ": probes want as many FP32 outputs as inputs: got ",
        Describe(known->probe_inputs.spec), " and ",
        Describe(known->probe_outputs.spec)));
  }
  known->num_probes = inputs[0];
  return known;
}

std::string ServedVersion(const OipServedModel& model,
                          const oip::ModelMetadata& metadata) {
  if (!model.version.empty()) return model.version;
  std::string best;
  uint64_t greatest = 0;
  for (const std::string& version : metadata.versions) {
    uint64_t number = 0;
    const bool numeric = absl::SimpleAtoi(version, &number);
    if (best.empty() || !numeric || number >= greatest) {
      best = version;
      greatest = number;
    }
  }
  return best;
}

absl::StatusOr<wire::BundleInfo> DescribeModel(
    const OipServedModel& model, const oip::ModelMetadata& metadata) {
  if (metadata.inputs.empty() || metadata.outputs.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the server's metadata of model '", model.server_name,
        "' names no inputs or no outputs; a bundle would say what they are"));
  }
  wire::BundleInfo info;
  info.set_model(model.name);
  info.set_version(ServedVersion(model, metadata));
  info.set_role(wire::DEPLOYED);
  std::string identity =
      absl::StrCat("model server\n", model.server_name, "\n", info.version());
  for (const auto* specs : {&metadata.inputs, &metadata.outputs}) {
    absl::StrAppend(&identity, "\n;");
    for (const TensorSpec& spec : *specs) {
      absl::StrAppend(&identity, "\n", spec.name, " ", Describe(spec));
    }
  }
  info.set_sha256(ToBytes(Sha256Of(identity)));
  SetSpecs(metadata.inputs, info.mutable_inputs());
  SetSpecs(metadata.outputs, info.mutable_outputs());
  return info;
}

absl::StatusOr<wire::BundleInfo> DescribeKnownModel(
    const OipServedModel& model, const oip::ModelMetadata& metadata,
    const KnownBundle& known) {
  wire::BundleInfo info = known.info;
  info.set_model(model.name);
  const std::string version = ServedVersion(model, metadata);
  if (!version.empty()) info.set_version(version);
  // Some servers name no tensors: the bundle's are then all that is known.
  if (metadata.inputs.empty() && metadata.outputs.empty()) return info;
  PARM_RETURN_IF_ERROR(CheckSpecs("input", metadata.inputs, info.inputs()));
  PARM_RETURN_IF_ERROR(CheckSpecs("output", metadata.outputs, info.outputs()));
  SetSpecs(metadata.inputs, info.mutable_inputs());
  SetSpecs(metadata.outputs, info.mutable_outputs());
  return info;
}

oip::InferRequest ProbeRequest(const KnownBundle& known, int64_t index,
                               const std::string& input_name) {
  oip::InferRequest request;
  request.inputs.push_back(known.probe_inputs);
  oip::Tensor& input = request.inputs[0];
  const size_t size = input.data.size() / static_cast<size_t>(known.num_probes);
  input.spec.name = input_name;
  input.spec.shape[0] = 1;
  input.data = input.data.Slice(static_cast<size_t>(index) * size, size);
  return request;
}

absl::Status CheckProbe(const KnownBundle& known, int64_t index,
                        const std::vector<oip::Tensor>& outputs) {
  const absl::Span<const float> all = Floats(known.probe_outputs);
  const size_t count = all.size() / static_cast<size_t>(known.num_probes);
  const absl::Span<const float> want =
      all.subspan(static_cast<size_t>(index) * count, count);
  const auto [low, high] = std::minmax_element(all.begin(), all.end());
  const float tolerance = kTolerance * std::max(*high - *low, 1e-6F);
  if (outputs.size() != 1 || outputs[0].spec.datatype != DataType::kFp32 ||
      outputs[0].data.size() != count * sizeof(float)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "probe ", index, ": the answer has not the bundle's form: got ",
        outputs.size(), " outputs",
        outputs.empty() ? "" : ", first " + Describe(outputs[0].spec)));
  }
  std::vector<float> got(count);
  std::memcpy(got.data(), outputs[0].data.bytes().data(),
              count * sizeof(float));
  for (size_t i = 0; i < count; ++i) {
    // Also not: NaN.
    if (std::abs(got[i] - want[i]) <= tolerance) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("probe ", index, ": output ", i, " is ", got[i],
                     ", the bundle's model says ", want[i]));
  }
  return absl::OkStatus();
}

}  // namespace parm
