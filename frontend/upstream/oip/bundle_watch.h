#pragma once

// Whether a server's models still are the bundles that they were at its hello:
// asks the bundles' probes again from time to time, beside the tasks, so that a
// model is found out which was replaced under the same version. Part of
// OipServer.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "frontend/upstream/oip/known_bundle.h"
#include "frontend/upstream/oip/server_channel.h"

namespace parm {

/// Rounds over a server's models; label `result` of
/// parm_server_bundle_checks_total.
struct BundleWatchCounters {
  uint64_t same = 0;
  uint64_t changed = 0;     // the server is met anew
  uint64_t unanswered = 0;  // away or overloaded: told nothing
};

/// Threads: the loop's only.
/// Bounds:  one probe at a time, over all that share `anyone_asks`.
class BundleWatch {
 public:
  /// A model with probes.
  struct Model {
    size_t index = 0;        // of the server's
    std::string input_name;  // as the server has it
    std::shared_ptr<const KnownBundle> known;
    bool same = false;  // it gave the bundle's answers at the hello
  };
  struct Parts {  // What is pointed to outlives the watch.
    ServerChannel* channel = nullptr;
    size_t max_in_flight = 1;
    Duration interval{0};                   // 0: never
    Duration timeout = Milliseconds(2000);  // of a probe
    /// In [0, 1): when in its interval this server is asked first.
    double phase = 0;
    bool* anyone_asks = nullptr;
    BundleWatchCounters* counters = nullptr;
    /// A model that was the bundle is not any more, or the other way round. The
    /// watch has stopped: the server is to say what it serves.
    std::function<void()> on_changed;
  };
  explicit BundleWatch(Parts parts) : parts_(std::move(parts)) {}
  ~BundleWatch() { Stop(); }
  BundleWatch(const BundleWatch&) = delete;
  BundleWatch& operator=(const BundleWatch&) = delete;

  /// The server has said what it serves: these are to be looked at.
  void Start(Time now, std::vector<Model> models);
  /// It is away, or takes no tasks. Nothing is heard of a probe under way.
  void Stop();
  /// Asks the next probe, if it is time, the server has a slot free beside its
  /// `num_tasks`, and nobody else asks. To be called every now and then.
  void Run(Time now, size_t num_tasks);
  /// A probe is under way.
  bool asking() const { return asking_; }

 private:
  void OnAnswer(Time now, const ServerAnswer& answer);
  void NextModel(Time now);
  void EndRound(Time now, uint64_t* counter);

  const Parts parts_;
  std::vector<Model> models_;
  size_t at_model_ = 0;
  int64_t at_probe_ = 0;
  Time next_{};
  bool asking_ = false;
  uint64_t start_ = 0;  // tells answers to earlier probes
};

}  // namespace parm
