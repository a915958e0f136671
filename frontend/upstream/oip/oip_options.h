#pragma once

// Which model servers there are, what each serves, and how it is talked to:
// the part of frontend.yaml that the upstream of this folder needs, resolved.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

namespace parm {

/// What a server calls itself decides for kAuto; see ServerDialect.
enum class ServerKind : uint8_t { kAuto, kTriton, kMlserver, kKserve };

enum class ServerProtocol : uint8_t { kHttp, kGrpc };

/// "http://HOST[:PORT][/BASE]", port 80 unless given; or "grpc://HOST:PORT".
struct ServerUrl {
  ServerProtocol protocol = ServerProtocol::kHttp;
  std::string host;      // a name, or an address without brackets
  bool numeric = false;  // an address
  uint16_t port = 80;
  std::string base;  // "" or "/..." without a slash at its end
  std::string host_header;
};

/// Errors: kInvalidArgument, saying what was expected.
absl::StatusOr<ServerUrl> ParseServerUrl(absl::string_view url);

/// One model of a server.
struct OipServedModel {
  std::string name;         // as our clients call it
  std::string server_name;  // as the server does
  std::string version;      // at the server; empty: the one it picks
  /// Directory of the bundle that the server's model is; empty: not known, so
  /// that the model is served as it is, and no parity model fits it.
  std::string bundle;
};

/// An entry of `workers`: one server, or as many as its name has addresses, or
/// its file lines.
struct OipServerOptions {
  std::string endpoint;  // as configured, names it in logs and metrics
  ServerUrl url;
  std::string endpoints_file;              // instead of those two
  std::optional<ServerProtocol> protocol;  // of all in the file, if said
  uint32_t max_servers = 64;               // unless it is one
  ServerKind kind = ServerKind::kAuto;
  uint32_t max_in_flight = 16;
  uint32_t lanes = 1;  // tasks that it runs at a time
  std::vector<OipServedModel> serves;
};

/// The workers that an entry may stand for at once, those that are on their way
/// out included.
inline uint32_t NumPlaces(const OipServerOptions& entry) {
  const bool one = entry.endpoints_file.empty() && entry.url.numeric;
  return one ? 1 : 2 * entry.max_servers;
}

struct OipOptions {
  std::vector<OipServerOptions> servers;
  /// WorkerId of the first place of servers[0]; the others follow.
  uint32_t first_worker = 0;
  /// How often a name is resolved whose servers are all there.
  Duration resolve_interval = Milliseconds(30'000);
  /// How often a server is asked again whether its models are the bundles that
  /// they are said to be; 0: at its hello alone.
  Duration bundle_check_interval = Milliseconds(300'000);
  /// How often a file of endpoints is looked at.
  Duration watch_interval = Milliseconds(1000);
  /// Servers that are to go serve on for so long until those have come that
  /// are new in their set.
  Duration join_patience = Milliseconds(10'000);
  /// How often a server is asked whether it is ready.
  Duration heartbeat_interval = Milliseconds(100);
  /// Until it must have answered a question about itself, or a probe.
  Duration check_timeout = Milliseconds(2000);
  /// A server that is away is tried after one interval, doubling up to this.
  Duration max_backoff = Milliseconds(2000);
  Duration connect_timeout = Milliseconds(1000);
  /// A grpc:// connection on which nothing has come for so long is pinged, and
  /// ends if nothing comes for as long again.
  Duration ping_interval = Milliseconds(10'000);
  /// A reply is waited for this long past its deadline: late originals tell how
  /// good a decode was.
  Duration keep_late = Milliseconds(10'000);
  /// Of one reply.
  size_t max_reply_bytes = size_t{64} << 20;
  size_t max_drained_bytes = size_t{1} << 20;
};

}  // namespace parm
