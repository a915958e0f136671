#pragma once

// The load generator's sockets: a bounded pool of keep-alive HTTP/1.1
// connections to one server, one request at a time on each, driven by the one
// thread that also sends on schedule.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/load/load_client.h"

namespace parm {

class HttpClient : public LoadClient {
 public:
  /// `listener` must outlive the client.
  /// Errors: kInvalidArgument for a host that is no address.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(
      const LoadClientOptions& options, Listener* listener);
  ~HttpClient() override;

  bool Connect(Time until) override;
  bool Send(Token token, absl::string_view head,
            absl::string_view body) override;
  int num_in_flight() const override;
  void RunUntil(Time until) override;
  void Poll() override;

 private:
  class Pool;
  explicit HttpClient(std::unique_ptr<Pool> pool);

  std::unique_ptr<Pool> pool_;
};

/// What requests to this server say as Host: "127.0.0.1:80", "[::1]:80".
std::string HostHeader(const LoadClientOptions& options);

/// One GET on a connection of its own; another status than 200 is an error in
/// the reply.
/// Errors: kUnavailable, kDeadlineExceeded or kDataLoss as OnNoReply.
absl::StatusOr<ServerReply> HttpGet(const LoadClientOptions& options,
                                    absl::string_view target);

}  // namespace parm
