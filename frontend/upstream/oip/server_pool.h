#pragma once

// The servers of one entry of `workers`: one, or as many as its name has
// addresses or its file lines, which come and go while tasks run. Each has a
// place, which is a WorkerId, and keeps it, its connections and what is known
// of it while others change. Step [5] of a query's life, between OipUpstream
// and the servers.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"
#include "frontend/upstream/oip/endpoints_file.h"
#include "frontend/upstream/oip/name_resolver.h"
#include "frontend/upstream/oip/oip_options.h"
#include "frontend/upstream/oip/oip_server.h"
#include "frontend/upstream/upstream_listener.h"

namespace parm {

/// Threads: the loop's only; callbacks come on it, never inside a call here.
/// Bounds:  NumPlaces(entry) servers; one resolution of a name at a time.
class ServerPool {
 public:
  /// What a server at this place is made of, but for its options.
  using PartsOf = std::function<OipServer::Parts(WorkerId)>;

  struct Parts {  // What is pointed to outlives the pool.
    boost::asio::io_context* loop = nullptr;
    const OipServerOptions* entry = nullptr;
    const OipOptions* all = nullptr;
    uint32_t first_worker = 0;
    PartsOf parts_of;
    UpstreamListener* listener = nullptr;
    OipCounters* counters = nullptr;
    NameResolver* resolver = nullptr;
  };
  /// `endpoints`: the entry's own, or its file's.
  ServerPool(Parts parts, std::vector<ServerEndpoint> endpoints);
  ~ServerPool() { *alive_ = false; }
  ServerPool(const ServerPool&) = delete;
  ServerPool& operator=(const ServerPool&) = delete;

  /// Null while the place is vacant.
  OipServer* At(uint32_t place) { return places_.at(place).get(); }

  /// The servers are these from now on: others finish what they have and go,
  /// once those that are new have come.
  void SetEndpoints(std::vector<ServerEndpoint> endpoints);
  bool Has(const std::string& endpoint) const;

 private:
  // An endpoint, and what its name was resolved to.
  struct Source {
    ServerEndpoint endpoint;
    NamedServers servers;
    bool resolved = false;
    bool asking = false;
    bool failed = false;  // last, and logged
    Time asked{};
  };
  struct Member {
    std::string label;   // names it in logs and metrics; unique
    std::string source;  // its endpoint, as written
    ServerUrl url;
    uint32_t place = 0;
    bool wanted = true;
    bool joined = false;   // has said hello
    bool leaving = false;  // gets no more tasks
    Time leave_by{};       // if not wanted
  };

  void Tick();
  void Look();
  void ResolveDue(Time now);
  void OnResolved(const std::string& endpoint,
                  absl::StatusOr<std::vector<std::string>> addresses);
  std::vector<Member> Wanted();
  void Update();
  bool Join(Member member);
  void LetGo(Time now);

  const Parts parts_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  boost::asio::steady_timer timer_;
  std::vector<std::unique_ptr<OipServer>> places_;
  std::vector<Source> sources_;
  std::vector<Member> members_;
  bool waiting_ = false;  // for a vacant place
  bool over_limit_ = false;
};

}  // namespace parm
