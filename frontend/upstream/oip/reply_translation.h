#pragma once

// From what a model server answered to what the frontend loop hears of a task.
// A server is outside input: whatever it says becomes outputs to be checked
// further (ReplyChecker), or an error that says whether trying elsewhere makes
// sense.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "frontend/upstream/oip/server_connections.h"
#include "frontend/upstream/upstream_listener.h"
#include "proto/oip/infer_response_codec.h"

namespace parm {

/// Label `outcome` of parm_server_replies_total.
struct ServerReplyCounters {
  uint64_t ok = 0;
  uint64_t refused = 0;        // the request's fault: answered at once
  uint64_t failed = 0;         // the server's fault: may succeed elsewhere
  uint64_t malformed = 0;      // 200, but no reply to an infer request
  uint64_t other_version = 0;  // counted as ok too; no decode uses it
};

/// What an HTTP status of a server means for a task.
struct ServerVerdict {
  absl::StatusCode code = absl::StatusCode::kInternal;
  bool retryable = false;
};

/// `error` is the server's sentence: some say with status 400 that a model is
/// not there (any more), which is not the client's fault.
ServerVerdict VerdictOf(int http_status, absl::string_view error);

/// Threads: one; keeps its parser's memory.
class ReplyTranslator {
 public:
  explicit ReplyTranslator(ServerReplyCounters* counters)
      : counters_(counters) {}

  /// `version`: of the model as it was when the server said hello; empty: not
  /// known. `*replied_version` becomes what the reply says, if it does.
  WorkerReply Translate(TaskId task, absl::string_view version,
                        ServerReply reply, std::string* replied_version);

 private:
  ServerReplyCounters* const counters_;
  oip::InferResponseParser parser_;
};

}  // namespace parm
