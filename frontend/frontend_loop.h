#pragma once

// The one loop that ties the frontend together: it owns the core, reads the
// clock, feeds the core events from clients (QueryService), workers
// (UpstreamListener) and the timer, and carries its answers back. It decides
// nothing about redundancy and parses nothing.

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "boost/asio/io_context.hpp"
#include "frontend/frontend_config.h"
#include "frontend/serve/query_service.h"

namespace parm {

class QueryCapture;

/// Threads: everything on the io_context's one thread.
/// Bounds:  max_queries and max_buffered_bytes of the configuration, by the
///          core; queries beyond them are answered 503.
class FrontendLoop : public QueryService {
 public:
  /// Connects to the workers as soon as the io_context runs. `capture`: where
  /// a sample of the queries goes, made for the same models; outlives the loop.
  /// Errors: kInvalidArgument for an endpoint or options that make no sense.
  static absl::StatusOr<std::unique_ptr<FrontendLoop>> Create(
      boost::asio::io_context& loop, FrontendOptions options,
      QueryCapture* capture = nullptr);

  /// Ready() is false from now on, new queries are refused with 503, and
  /// `drained` runs once, not inside this call, when the last query is
  /// answered.
  virtual void Drain(std::function<void()> drained) = 0;
};

}  // namespace parm
