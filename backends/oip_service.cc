#include "backends/oip_service.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/metadata_json.h"

namespace parm {

namespace {

using Parts = std::vector<absl::string_view>;

// "/v2/models/m/ready?x" -> {"v2", "models", "m", "ready"}.
Parts PartsOf(absl::string_view target) {
  const absl::string_view path = target.substr(0, target.find('?'));
  return absl::StrSplit(path, '/', absl::SkipEmpty());
}

// What a path says of a model: /v2/models/{name}[/versions/{version}][/verb].
struct ModelPath {
  absl::string_view name;
  absl::string_view version;  // empty: any
  absl::string_view verb;     // empty: metadata
};

std::optional<ModelPath> ParseModelPath(const Parts& parts) {
  if (parts.size() < 3 || parts[0] != "v2" || parts[1] != "models") {
    return std::nullopt;
  }
  ModelPath path = {.name = parts[2]};
  size_t next = 3;
  if (parts.size() >= 5 && parts[3] == "versions") {
    path.version = parts[4];
    next = 5;
  }
  if (parts.size() > next) path.verb = parts[next++];
  if (parts.size() > next) return std::nullopt;
  return path;
}

absl::Status NoSuchPath(absl::string_view target) {
  return absl::NotFoundError(absl::StrCat("no such path: got ", target));
}

HttpAnswer Say(std::string json) { return {.body = {.json = std::move(json)}}; }

std::string Metadata(const ServedBundle& bundle) {
  const bundle::Manifest& manifest = bundle.bundle().manifest;
  return oip::WriteModelMetadata({.name = manifest.model(),
                                  .versions = {manifest.version()},
                                  .platform = "parm-worker",
                                  .inputs = bundle.inputs(),
                                  .outputs = bundle.outputs()});
}

}  // namespace

OipService::OipService(
    absl::Span<const std::unique_ptr<const ServedBundle>> bundles) {
  for (const auto& bundle : bundles) {
    if (bundle->bundle().manifest.role() == "deployed") {
      deployed_.push_back(bundle.get());
    }
  }
}

const ServedBundle* OipService::Find(absl::string_view model,
                                     absl::string_view version) const {
  for (const ServedBundle* const bundle : deployed_) {
    const bundle::Manifest& manifest = bundle->bundle().manifest;
    if (manifest.model() == model &&
        (version.empty() || manifest.version() == version)) {
      return bundle;
    }
  }
  return nullptr;
}

HttpAnswer OipService::Get(absl::string_view target, bool draining) const {
  const Parts parts = PartsOf(target);
  if (parts == Parts{"v2", "health", "live"}) return {};
  if (parts == Parts{"v2", "health", "ready"}) {
    return {.status = draining ? 503 : 200};
  }
  if (parts == Parts{"v2"}) {
    return Say(
        oip::WriteServerMetadata("parm-worker", "", {"binary_tensor_data"}));
  }
  const std::optional<ModelPath> path = ParseModelPath(parts);
  if (!path) return ErrorOf(NoSuchPath(target));
  const ServedBundle* const bundle = Find(path->name, path->version);
  if (bundle == nullptr) {
    return ErrorOf(absl::NotFoundError(
        absl::StrCat("worker does not serve this model: got ", path->name)));
  }
  if (path->verb.empty()) return Say(Metadata(*bundle));
  if (path->verb == "ready") return {.status = draining ? 503 : 200};
  return ErrorOf(NoSuchPath(target));
}

absl::StatusOr<InferCall> OipService::ParseInfer(absl::string_view target,
                                                 const oip::Body& body) {
  const std::optional<ModelPath> path = ParseModelPath(PartsOf(target));
  if (!path || path->verb != "infer") return NoSuchPath(target);
  InferCall call = {.bundle = Find(path->name, path->version)};
  if (call.bundle == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("worker does not serve this model: got ", path->name));
  }
  PARM_ASSIGN_OR_RETURN(oip::InferRequest request, parser_.Parse(body));
  std::vector<TensorSpec> specs;
  std::vector<Buffer> tensors;
  for (oip::Tensor& input : request.inputs) {
    specs.push_back(std::move(input.spec));
    tensors.push_back(std::move(input.data));
  }
  PARM_ASSIGN_OR_RETURN(call.inputs,
                        call.bundle->ArrangeInputs(specs, tensors));
  call.id = std::move(request.id);
  call.outputs = std::move(request.outputs);
  call.binary_outputs = request.binary_outputs;
  return call;
}

HttpAnswer OipService::AnswerOf(const InferCall& call,
                                const TaskFinished& finished) {
  if (finished.status == wire::EXPIRED) {
    return ErrorOf(absl::DeadlineExceededError("task expired in the queue"));
  }
  if (finished.status != wire::OK) {
    return ErrorOf(finished.retryable ? absl::UnavailableError(finished.error)
                                      : absl::InternalError(finished.error));
  }
  const bundle::Manifest& manifest = call.bundle->bundle().manifest;
  oip::InferResponse response = {.model_name = manifest.model(),
                                 .model_version = manifest.version(),
                                 .id = call.id};
  for (size_t i = 0; i < finished.outputs.size(); ++i) {
    const ModelTensor& output = finished.outputs[i];
    response.outputs.push_back({.spec = {.name = call.bundle->outputs()[i].name,
                                         .datatype = output.datatype,
                                         .shape = output.shape},
                                .data = output.bytes});
  }
  absl::StatusOr<oip::EncodedBody> body =
      oip::WriteInferResponse(response, call.outputs, call.binary_outputs);
  if (!body.ok()) return ErrorOf(body.status());
  return {.body = *std::move(body)};
}

HttpAnswer OipService::ErrorOf(const absl::Status& status) {
  const auto http = [&] {
    switch (status.code()) {
      case absl::StatusCode::kInvalidArgument:
        return 400;
      case absl::StatusCode::kNotFound:
        return 404;
      case absl::StatusCode::kUnimplemented:
        return 501;
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kResourceExhausted:
        return 503;
      case absl::StatusCode::kDeadlineExceeded:
        return 504;
      default:
        return 500;
    }
  };
  return {.status = http(),
          .body = {.json = oip::WriteError(status.message())}};
}

}  // namespace parm
