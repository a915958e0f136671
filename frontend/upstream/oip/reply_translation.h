#pragma once

// From what a model server answered to what the frontend loop hears of a task.
// A server is outside input: whatever it says becomes outputs to be checked
// further (ReplyChecker), or an error that says whether trying elsewhere makes
// sense.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "frontend/upstream/oip/server_channel.h"
#include "frontend/upstream/upstream_listener.h"

namespace parm {

/// Label `outcome` of parm_server_replies_total.
struct ServerReplyCounters {
  uint64_t ok = 0;
  uint64_t refused = 0;        // the request's fault: answered at once
  uint64_t failed = 0;         // the server's fault: may succeed elsewhere
  uint64_t malformed = 0;      // success, but no reply to an infer request
  uint64_t other_version = 0;  // counted as ok too; no decode uses it
};

/// What a server's error means for a task.
struct ServerVerdict {
  absl::StatusCode code = absl::StatusCode::kInternal;
  bool retryable = false;
};

/// Of an HTTP status. `error` is the server's sentence: some say with status
/// 400 that a model is not there (any more), which is not the client's fault.
ServerVerdict VerdictOf(int http_status, absl::string_view error);

/// Of a status of gRPC, whose codes are absl's.
ServerVerdict VerdictOf(absl::StatusCode grpc_code, absl::string_view error);

/// `answer` is kReplied, to kInfer. `version`: of the model as it was when the
/// server said hello; empty: not known. `*replied_version` becomes what the
/// reply says, if it does.
WorkerReply TranslateReply(TaskId task, absl::string_view version,
                           ServerAnswer answer, ServerReplyCounters* counters,
                           std::string* replied_version);

}  // namespace parm
