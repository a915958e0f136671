#pragma once

// What the worker's HTTP port says: Open Inference Protocol requests to tasks
// for its deployed bundles, and ends of tasks to replies. Knows no socket and
// no HTTP library.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "backends/outbox.h"
#include "backends/served_bundle.h"
#include "proto/oip/body.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/messages.h"
#include "proto/oip/route.h"

namespace parm {

struct HttpAnswer {
  int status = 200;
  oip::EncodedBody body;
};

/// A request that became a task.
struct InferCall {
  const ServedBundle* bundle = nullptr;
  std::vector<ModelTensor> inputs;
  std::string id;
  std::vector<oip::RequestedOutput> outputs;
  bool binary_outputs = false;
};

/// Threads: owned by one; the bundles outlive it.
class OipService {
 public:
  /// Bundles of role `deployed` are served, by their model's name.
  explicit OipService(
      absl::Span<const std::unique_ptr<const ServedBundle>> bundles);

  /// Health (503 while draining), server and model metadata, model readiness;
  /// 404 for everything else.
  HttpAnswer Get(absl::string_view target, bool draining) const;

  /// POST /v2/models/{model}[/versions/{version}]/infer.
  /// Errors: kNotFound for another path, model or version; as
  /// InferRequestParser and ServedBundle::ArrangeInputs.
  absl::StatusOr<InferCall> ParseInfer(absl::string_view target,
                                       const oip::Body& body);

  /// The reply to a call whose task has ended: 200; 503 if it may be tried
  /// elsewhere; 504 if it expired; 500 else; 400 for outputs that are not
  /// there.
  static HttpAnswer AnswerOf(const InferCall& call,
                             const TaskFinished& finished);

  /// {"error": ...} with the status that says it in HTTP.
  static HttpAnswer ErrorOf(const absl::Status& status);

 private:
  // Errors: kNotFound.
  absl::StatusOr<const ServedBundle*> Find(const oip::Route& route) const;

  std::vector<const ServedBundle*> deployed_;
  oip::InferRequestParser parser_;
};

}  // namespace parm
