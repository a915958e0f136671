#include "frontend/serve/oip_handler.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/pinned_body.h"
#include "frontend/serve/trace_context.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/metadata_json.h"

namespace parm {
namespace {

constexpr absl::string_view kExtensions[] = {
    "binary_tensor_data", "parameters", "model_configuration", "statistics"};

HttpReply StatusReply(Endpoint endpoint, const absl::Status& status) {
  return ErrorReply(
      endpoint, oip::HttpStatusOf(status.code()),
      absl::string_view(status.message().data(), status.message().size()));
}

HttpMethod MethodOf(Endpoint endpoint) {
  return endpoint == Endpoint::kInfer || endpoint == Endpoint::kRepositoryIndex
             ? HttpMethod::kPost
             : HttpMethod::kGet;
}

/// Shrinks a reply, if that is what its size and the client suggest. The length
/// header goes on counting plain bytes.
void CompressReply(ContentCoding coding, const HttpOptions& options,
                   HttpReply* reply) {
  const size_t size = reply->body.TotalBytes();
  if (coding == ContentCoding::kIdentity ||
      size < options.min_compressed_bytes ||
      size > options.max_compressed_bytes) {
    return;
  }
  reply->body = {.json = Compress(coding, reply->body)};
  absl::StrAppend(&reply->headers,
                  "Content-Encoding: ", ContentCodingName(coding), "\r\n");
}

}  // namespace

OipHandler::OipHandler(const HttpOptions& options, QueryService* service)
    : options_(options),
      service_(service),
      parser_({.max_json_bytes = options.max_json_bytes}) {}

uint64_t OipHandler::Handle(HttpRequest request, ReplySlot slot) {
  oip::Route route = oip::ParseTarget(request.target);
  // The metrics have a port of their own.
  if (route.endpoint == Endpoint::kMetrics) route = {};
  switch (route.kind) {
    case oip::Route::Kind::kNotFound:
      slot.Send(ErrorReply(Endpoint::kOther, 404, "Not Found"));
      return 0;
    case oip::Route::Kind::kBadTarget:
      slot.Send(ErrorReply(Endpoint::kOther, 400,
                           "the path is not validly percent-encoded"));
      return 0;
    case oip::Route::Kind::kSharedMemory:
      slot.Send(
          ErrorReply(Endpoint::kOther, 501, "shared memory is not supported"));
      return 0;
    case oip::Route::Kind::kFound:
      break;
  }
  const HttpMethod want = MethodOf(route.endpoint);
  if (request.method != want &&
      !(request.method == HttpMethod::kHead && want == HttpMethod::kGet)) {
    HttpReply reply = ErrorReply(route.endpoint, 405, "Method Not Allowed");
    reply.headers =
        want == HttpMethod::kPost ? "Allow: POST\r\n" : "Allow: GET, HEAD\r\n";
    slot.Send(std::move(reply));
    return 0;
  }
  if (route.endpoint == Endpoint::kInfer) {
    return Infer(std::move(request), std::move(route), slot);
  }
  slot.Send(Inform(request, route));
  return 0;
}

HttpReply OipHandler::Inform(const HttpRequest& request,
                             const oip::Route& route) {
  switch (route.endpoint) {
    // KServe's client reads the bodies; Triton's are empty, and its client does
    // not look.
    case Endpoint::kLive:
      return JsonReply(route.endpoint, R"({"live":true})");
    case Endpoint::kReady:
      if (service_->Ready()) {
        return JsonReply(route.endpoint, R"({"ready":true})");
      }
      return ErrorReply(route.endpoint, 503,
                        "not ready: a model has no live worker, or the "
                        "frontend is draining");
    case Endpoint::kServerMetadata:
      return JsonReply(
          route.endpoint,
          oip::WriteServerMetadata(options_.server_name,
                                   options_.server_version, kExtensions));
    case Endpoint::kModelNames:
      return JsonReply(route.endpoint,
                       oip::WriteModelNames(service_->ModelNames()));
    case Endpoint::kModelReady:
      return ModelReady(route);
    case Endpoint::kRepositoryIndex:
      return RepositoryIndex(request);
    case Endpoint::kModelStatistics:
      return Statistics(route);
    default:
      return ModelDocument(route);
  }
}

HttpReply OipHandler::ModelReady(const oip::Route& route) const {
  const absl::StatusOr<bool> ready =
      service_->ModelReady(route.model, route.version);
  if (!ready.ok()) return StatusReply(route.endpoint, ready.status());
  if (*ready) return {.endpoint = route.endpoint};
  return ErrorReply(route.endpoint, 503,
                    absl::StrCat("model '", route.model,
                                 "' is not ready: it has no live worker"));
}

HttpReply OipHandler::ModelDocument(const oip::Route& route) const {
  const absl::StatusOr<ModelMetadata> model =
      service_->Metadata(route.model, route.version);
  if (!model.ok()) return StatusReply(route.endpoint, model.status());
  return JsonReply(route.endpoint, route.endpoint == Endpoint::kModelConfig
                                       ? oip::WriteModelConfig(*model)
                                       : oip::WriteModelMetadata(*model));
}

HttpReply OipHandler::Statistics(const oip::Route& route) const {
  const absl::StatusOr<std::vector<oip::ModelStatistics>> models =
      service_->Statistics(route.model, route.version);
  if (!models.ok()) return StatusReply(route.endpoint, models.status());
  return JsonReply(route.endpoint, oip::WriteStatistics(*models));
}

HttpReply OipHandler::RepositoryIndex(const HttpRequest& request) const {
  const absl::StatusOr<bool> only_ready = oip::ParseReadyFilter(request.body);
  if (!only_ready.ok()) {
    return StatusReply(Endpoint::kRepositoryIndex, only_ready.status());
  }
  std::vector<oip::RepositoryEntry> entries;
  for (const std::string& name : service_->ModelNames()) {
    const absl::StatusOr<bool> ready = service_->ModelReady(name, "");
    oip::RepositoryEntry entry{.name = name, .ready = ready.ok() && *ready};
    if (*only_ready && !entry.ready) continue;
    if (!entry.ready) entry.reason = "no live worker";
    const absl::StatusOr<ModelMetadata> model = service_->Metadata(name, "");
    if (model.ok() && !model->versions.empty()) {
      entry.version = model->versions.back();
    }
    entries.push_back(std::move(entry));
  }
  return JsonReply(Endpoint::kRepositoryIndex,
                   oip::WriteRepositoryIndex(entries));
}

absl::StatusOr<oip::InferRequest> OipHandler::ParseInfer(
    const HttpRequest& request, const oip::Route& route) {
  PARM_ASSIGN_OR_RETURN(const ContentCoding coding,
                        ParseContentEncoding(request.content_encoding));
  PARM_ASSIGN_OR_RETURN(const oip::Body body,
                        Decompress(coding, request.body,
                                   std::min(options_.max_body_bytes,
                                            options_.max_decompressed_bytes)));
  const size_t json_bytes = body.json_bytes.value_or(body.size);
  if (json_bytes <= body.size && json_bytes > options_.max_json_bytes) {
    return absl::OutOfRangeError(absl::StrCat(
        "the JSON is too large, binary tensors have more room: got ",
        json_bytes, " bytes, want at most ", options_.max_json_bytes));
  }
  if (body.json_bytes != size_t{0}) {
    PARM_ASSIGN_OR_RETURN(oip::InferRequest infer, parser_.Parse(body));
    UnpinBody(body.storage, &infer.inputs);
    return infer;
  }
  PARM_ASSIGN_OR_RETURN(const ModelMetadata model,
                        service_->Metadata(route.model, route.version));
  return oip::RawInferRequest(model, body);
}

uint64_t OipHandler::Infer(HttpRequest request, oip::Route route,
                           ReplySlot slot) {
  absl::StatusOr<oip::InferRequest> infer = ParseInfer(request, route);
  if (!infer.ok()) {
    ++counters_->rejected_bodies;
    HttpReply reply = StatusReply(route.endpoint, infer.status());
    if (!ParseContentEncoding(request.content_encoding).ok()) {
      reply.headers = "Accept-Encoding: gzip, deflate\r\n";
    }
    slot.Send(std::move(reply));
    return 0;
  }
  infer->model_name = std::move(route.model);
  infer->model_version = std::move(route.version);
  const std::string traceparent(TraceparentIn(request.passed_headers));
  infer->headers = std::move(request.passed_headers);
  const size_t index = TakePending();
  Pending& pending = pending_[index];
  pending.slot = slot;
  pending.traceparent = traceparent;
  pending.requested = infer->outputs;
  pending.binary_outputs = infer->binary_outputs;
  pending.coding = ChooseCoding(request.accept_encoding);
  // The body's storage must not outlive what the service keeps of it.
  request.body = {};
  const QueryHandle handle = service_->Infer(
      *std::move(infer),
      [this, index](QueryReply answer) { OnAnswer(index, std::move(answer)); });
  pending_[index].handle = handle;
  return index + 1;
}

size_t OipHandler::TakePending() {
  if (free_.empty()) {
    pending_.emplace_back();
    free_.reserve(pending_.size());
    return pending_.size() - 1;
  }
  const size_t index = free_.back();
  free_.pop_back();
  return index;
}

void OipHandler::Abandon(uint64_t token) {
  const size_t index = static_cast<size_t>(token) - 1;
  service_->Abandon(pending_[index].handle);
  pending_[index] = Pending();
  free_.push_back(index);
}

void OipHandler::OnAnswer(size_t index, QueryReply answer) {
  const Pending pending = std::exchange(pending_[index], Pending());
  free_.push_back(index);
  HttpReply reply = AnswerReply(pending, answer);
  if (!pending.traceparent.empty()) {
    absl::StrAppend(&reply.headers, "traceparent: ", pending.traceparent,
                    "\r\n");
  }
  pending.slot.Send(std::move(reply));
}

HttpReply OipHandler::AnswerReply(const Pending& pending,
                                  QueryReply& answer) const {
  if (!answer.status.ok()) {
    HttpReply reply = StatusReply(Endpoint::kInfer, answer.status);
    if (reply.status == 503 && answer.retry_after_s > 0) {
      reply.headers =
          absl::StrCat("Retry-After: ", answer.retry_after_s, "\r\n");
    }
    return reply;
  }
  absl::StatusOr<oip::EncodedBody> body = oip::WriteInferResponse(
      answer.response, pending.requested, pending.binary_outputs,
      {.source = answer.source, .confidence = answer.confidence});
  if (!body.ok()) return StatusReply(Endpoint::kInfer, body.status());
  HttpReply reply{.endpoint = Endpoint::kInfer};
  reply.content_type =
      body->binary ? "application/octet-stream" : "application/json";
  if (body->binary) reply.json_bytes = body->json.size();
  if (!answer.source.empty()) {
    absl::StrAppend(&reply.headers, "x-parm-source: ", answer.source, "\r\n");
    if (answer.confidence.has_value()) {
      absl::StrAppend(&reply.headers, "x-parm-confidence: ", *answer.confidence,
                      "\r\n");
    }
  }
  reply.body = *std::move(body);
  CompressReply(pending.coding, options_, &reply);
  return reply;
}

}  // namespace parm
