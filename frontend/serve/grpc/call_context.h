#pragma once

// What the calls of one gRPC server share: the way to the loop, the bounds, the
// counters, and the list of those that are open.

#include <atomic>
#include <cstddef>
#include <unordered_set>

#include "frontend/serve/event_queue.h"
#include "frontend/serve/grpc/grpc_counters.h"
#include "frontend/serve/grpc/grpc_options.h"
#include "frontend/serve/query_service.h"

namespace parm {

/// A call that the loop has heard of and that has not ended.
/// Threads: the loop's.
class OpenCall {
 public:
  virtual ~OpenCall() = default;
  /// Ends with UNAVAILABLE now, and abandons what it waits for.
  virtual void Abort() = 0;
  /// Ends by itself behind the replies that it owes.
  virtual void Drain() = 0;
};

struct CallContext {
  CallContext(boost::asio::io_context& loop, const GrpcOptions& call_options,
              QueryService* query_service)
      : options(call_options),
        service(query_service),
        // One event that brings something new for each call, or stream.
        queue(loop, size_t{call_options.max_calls} + call_options.max_streams,
              call_options.max_buffered_bytes) {}

  // Constant after construction.
  const GrpcOptions options;
  QueryService* const service;

  // Any thread.
  EventQueue queue;
  GrpcCounters counters;
  /// Of replies that gRPC has not written yet. Atomic, as they end on gRPC's
  /// threads; a bound that is met a little late is good enough.
  std::atomic<size_t> reply_bytes{0};

  // The loop's alone.
  std::unordered_set<OpenCall*> open;
  bool draining = false;
};

}  // namespace parm
