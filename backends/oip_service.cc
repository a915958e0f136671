#include "backends/oip_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/metadata_json.h"

namespace parm {

namespace {

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

absl::StatusOr<const ServedBundle*> OipService::Find(
    const oip::Route& route) const {
  for (const ServedBundle* const bundle : deployed_) {
    const bundle::Manifest& manifest = bundle->bundle().manifest;
    if (manifest.model() == route.model &&
        (route.version.empty() || manifest.version() == route.version)) {
      return bundle;
    }
  }
  return absl::NotFoundError(
      absl::StrCat("worker does not serve this model: got ", route.model));
}

HttpAnswer OipService::Get(absl::string_view target, bool draining) const {
  const oip::Route route = oip::ParseTarget(target);
  const HttpAnswer readiness = {.status = draining ? 503 : 200};
  switch (route.endpoint) {
    case oip::Endpoint::kLive:
      return {};
    case oip::Endpoint::kReady:
      return readiness;
    case oip::Endpoint::kServerMetadata:
      return Say(
          oip::WriteServerMetadata("parm-worker", "", {"binary_tensor_data"}));
    case oip::Endpoint::kModelMetadata:
    case oip::Endpoint::kModelReady:
      break;
    default:
      return ErrorOf(NoSuchPath(target));
  }
  const absl::StatusOr<const ServedBundle*> bundle = Find(route);
  if (!bundle.ok()) return ErrorOf(bundle.status());
  return route.endpoint == oip::Endpoint::kModelReady ? readiness
                                                      : Say(Metadata(**bundle));
}

absl::StatusOr<InferCall> OipService::ParseInfer(absl::string_view target,
                                                 const oip::Body& body) {
  const oip::Route route = oip::ParseTarget(target);
  if (route.endpoint != oip::Endpoint::kInfer) return NoSuchPath(target);
  InferCall call;
  PARM_ASSIGN_OR_RETURN(call.bundle, Find(route));
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
  return {.status = oip::HttpStatusOf(status.code()),
          .body = {.json = oip::WriteError(status.message())}};
}

}  // namespace parm
