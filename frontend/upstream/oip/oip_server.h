#pragma once

// One model server of other people's: finds out what it is and serves, checks
// that its models are what they are said to be, watches its health, and carries
// tasks to it. To the frontend loop it is a worker like any other, with a Hello
// made of what it answered.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"
#include "frontend/upstream/oip/bundle_watch.h"
#include "frontend/upstream/oip/known_bundle.h"
#include "frontend/upstream/oip/oip_options.h"
#include "frontend/upstream/oip/reply_translation.h"
#include "frontend/upstream/oip/server_channel.h"
#include "frontend/upstream/upstream_listener.h"
#include "frontend/upstream/worker_transport.h"

namespace parm {

/// Counted over all servers; frontend/upstream/oip/README.md lists the names.
struct OipCounters {
  ConnectionCounters connections;
  ServerReplyCounters replies;
  uint64_t hellos = 0;
  uint64_t hellos_refused = 0;  // it serves nothing that can be used
  uint64_t lost = 0;
  uint64_t not_ready = 0;      // from ready to not
  uint64_t sends_refused = 0;  // tasks
  uint64_t probes_passed = 0;  // models whose lineage was checked
  uint64_t probes_failed = 0;  // models that are not the bundle's
  BundleWatchCounters bundle_checks;
  // Of sets of servers that change; see ServerPool.
  uint64_t servers_joined = 0;
  uint64_t servers_left = 0;
  uint64_t sets_over_limit = 0;  // they had more servers than max_servers
  uint64_t names_changed = 0;    // resolutions with another outcome
  uint64_t names_unchanged = 0;
  uint64_t names_failed = 0;  // nothing was changed
  uint64_t endpoints_files_applied = 0;
  uint64_t endpoints_files_refused = 0;
};

/// Threads: the loop's only.
class OipServer {
 public:
  struct Parts {  // What is pointed to outlives the server.
    boost::asio::io_context* loop = nullptr;
    WorkerId worker{};
    OipServerOptions options;
    const OipOptions* all = nullptr;
    /// As options.serves; null: nothing is known.
    std::vector<std::shared_ptr<const KnownBundle>> known;
    UpstreamListener* listener = nullptr;
    OipCounters* counters = nullptr;
    /// Shared by servers of which one at a time is asked for probes again.
    bool* anyone_asks = nullptr;
  };
  explicit OipServer(Parts parts);
  ~OipServer();
  OipServer(const OipServer&) = delete;
  OipServer& operator=(const OipServer&) = delete;

  /// As WorkerTransport.
  absl::Status SendInfer(const InferTask& task,
                         absl::Span<const oip::Tensor> tensors);
  void Cancel(TaskId task);
  void CheckSoon();

  /// Said hello, and was not lost since.
  bool up() const { return up_; }
  /// It is to go: what it has it finishes, and it says no hello.
  void Leave();
  /// It is not to go after all: it says hello again.
  void Stay();
  /// It has been told to leave, and holds nothing more.
  bool done() const { return leaving_ && (!up_ || exchanges_.empty()); }

 private:
  // A model as it was when the server said what it serves.
  struct Model {
    bool ready = false;
    bool described = false;
    oip::ModelMetadata metadata;
    std::string replied_version;    // in the last reply that names one
    std::optional<bool> is_bundle;  // as its probes said
    wire::BundleInfo info;
  };

  void Tick();
  void Check();
  void EndCheck();
  // Asks; `then` hears only whole replies. Else the server is gone or slow, and
  // the check ends.
  using Then = void (OipServer::*)(ServerAnswer);
  void Ask(ServerQuestion question, Then then);
  ServerChannel::Done Checking(Then then);
  void OnCheckFailed(const ServerAnswer& answer);
  void OnReady(ServerAnswer answer);
  void OnServerMetadata(ServerAnswer answer);
  // The models one after the other: ready? what is it? is it the bundle's?
  void AskModel();
  void OnModelReady(ServerAnswer answer);
  void OnModelMetadata(ServerAnswer answer);
  OipServedModel Served() const;
  void AskProbe();
  void OnProbe(ServerAnswer answer);
  void FallBack(const absl::Status& why);
  void NextModel();
  void SayHello();
  void WatchBundles();
  void GoDown();
  void BeNotReady();
  void MeetAnew();
  void OnInferEnd(TaskId task, size_t model, ServerAnswer answer);

  const Parts parts_;
  const std::unique_ptr<ServerChannel> channel_;
  BundleWatch watch_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::vector<Model> models_;  // offered, or being asked about
  std::vector<Model> asked_;   // what the present check has found out
  size_t at_model_ = 0;
  int64_t at_probe_ = 0;
  bool up_ = false;         // said hello, not lost since
  bool not_ready_ = false;  // said so since its hello
  bool leaving_ = false;
  bool left_ready_ = false;  // it is not ready because it was to leave alone
  bool greet_ = true;        // ask for everything at the next check
  bool checking_ = false;
  bool readiness_only_ = false;  // of this check's models
  uint64_t nonce_ = 0;
  uint64_t num_beats_ = 0;
  Time next_check_{};
  Time last_check_{};
  Duration backoff_;
  std::string last_refusal_;
  // Exchange of each task under way.
  std::unordered_map<uint64_t, uint64_t> exchanges_;
};

}  // namespace parm
