#pragma once

// The endpoints of the Open Inference Protocol: translates HTTP requests for
// the QueryService and its answers into HTTP replies. Steps [1] and [7] of a
// query's life. It decides nothing.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "frontend/serve/content_coding.h"
#include "frontend/serve/http_counters.h"
#include "frontend/serve/http_message.h"
#include "frontend/serve/http_options.h"
#include "frontend/serve/query_service.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/messages.h"
#include "proto/oip/route.h"

namespace parm {

class OipHandler final : public HttpHandler {
 public:
  /// `service` outlives the handler.
  OipHandler(const HttpOptions& options, QueryService* service);

  /// The listener's counters; set once before the first request.
  void set_counters(HttpCounters* counters) { counters_ = counters; }

  uint64_t Handle(HttpRequest request, ReplySlot slot) override;
  void Abandon(uint64_t token) override;

 private:
  /// A query whose answer is not here yet. Their number is bounded by what the
  /// connections may have waiting.
  struct Pending {
    ReplySlot slot;
    QueryHandle handle{};
    std::vector<oip::RequestedOutput> requested;
    bool binary_outputs = false;
    std::string traceparent;  // of the request; empty: none
    ContentCoding coding = ContentCoding::kIdentity;
  };

  uint64_t Infer(HttpRequest request, oip::Route route, ReplySlot slot);
  absl::StatusOr<oip::InferRequest> ParseInfer(const HttpRequest& request,
                                               const oip::Route& route);
  void OnAnswer(size_t index, QueryReply answer);
  HttpReply AnswerReply(const Pending& pending, QueryReply& answer) const;
  HttpReply Inform(const HttpRequest& request, const oip::Route& route);
  HttpReply ModelReady(const oip::Route& route) const;
  HttpReply ModelDocument(const oip::Route& route) const;
  HttpReply Statistics(const oip::Route& route) const;
  HttpReply RepositoryIndex(const HttpRequest& request) const;
  size_t TakePending();

  const HttpOptions options_;
  QueryService* const service_;
  HttpCounters* counters_ = nullptr;
  oip::InferRequestParser parser_;
  std::vector<Pending> pending_;
  std::vector<size_t> free_;  // indices of pending_
};

}  // namespace parm
