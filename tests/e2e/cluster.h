#pragma once

// A parm-frontend and its workers as real processes: what end-to-end tests talk
// to. Mostly around a linear model, whose reconstructions are exact.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "encoder/code.h"
#include "encoder/confidence.h"
#include "proto/bundle.h"
#include "tests/support/infer_client.h"
#include "tests/support/linear_model.h"
#include "tests/support/process.h"
#include "tests/support/scratch_directory.h"

namespace parm {

/// One worker's place: its address outlives its process.
struct ClusterWorker {
  std::string name;
  std::string endpoint;  // ipc://, so that it is known before it starts
  std::string config_path;
  std::unique_ptr<Process> process;  // null while it does not run
};

struct ClusterFrontend {
  std::unique_ptr<Process> process;
  std::string config_path;
  uint16_t http_port = 0;
  uint16_t metrics_port = 0;
  uint16_t grpc_port = 0;  // 0: serves none
};

/// Threads: one, but clients of it may run on any.
class Cluster {
 public:
  static constexpr int64_t kInputs = 16;

  /// Writes a deployed bundle and its parity bundles for `code`, over samples
  /// of this shape. `confidence`: the parity bundles' calibration table.
  explicit Cluster(const CodeSpec& code = {.scheme = "sum", .k = 2},
                   const std::vector<int64_t>& sample_shape = {kInputs},
                   const std::vector<ConfidenceStep>& confidence = {});
  /// The test itself writes the bundles directory() / "deployed" and "parity"
  /// of this model, for workers of this program.
  Cluster(std::string model_name, std::string worker_program)
      : model_name_(std::move(model_name)),
        worker_program_(std::move(worker_program)) {}

  enum class Serves {
    kDeployed,
    kParity,
    kSecondParity,
    kRetrained,        // the same model, trained anew: version 2
    kRetrainedParity,  // made for that one
  };
  /// Configures a worker; `extra` is further YAML of a bundle, such as
  /// ", pace: {service: 5ms}"; `faults` of the worker. Returns its position.
  size_t AddWorker(Serves serves, const std::string& extra = "",
                   const std::string& faults = "");
  /// What it serves from its next start on.
  void Reconfigure(size_t index, Serves serves) {
    WriteWorkerConfig(index, serves, "", "");
  }
  /// Starts it and waits for its ready line.
  void StartWorker(size_t index);
  void StartWorkers();
  void SignalWorker(size_t index, int signal) {
    workers_[index].process->Signal(signal);
  }
  /// kill -9, and waits for its end.
  void KillWorker(size_t index);
  ClusterWorker& worker(size_t index) { return workers_[index]; }

  /// Starts a frontend over all workers added so far. `model` is YAML of the
  /// model's section, `more` of the whole file. Unless that holds `health`,
  /// silence is no failure for a minute. gRPC is off where it is not tested:
  /// ThreadSanitizer does not understand the packaged library.
  ClusterFrontend StartFrontend(const std::string& model,
                                const std::string& more = "",
                                bool with_grpc = false);
  /// The text of its configuration.
  std::string FrontendConfig(const std::string& model,
                             const std::string& more) const;

  /// A sample of small whole numbers, so that sums are exact.
  static std::vector<float> Sample(uint64_t seed);
  std::vector<float> Want(const std::vector<float>& sample) const {
    return LinearOutput(model_, sample);
  }
  std::vector<float> WantOfRetrained(const std::vector<float>& sample) const {
    return LinearOutput(retrained_, sample);
  }

  /// Waits until GET /metrics shows `name` with at least `value`; false after
  /// a generous while.
  static bool WaitForMetric(const ClusterFrontend& frontend,
                            const std::string& name, double value);
  static std::string Metrics(const ClusterFrontend& frontend);
  /// Waits until /v2/health/ready says 200.
  static bool WaitUntilReady(const ClusterFrontend& frontend);
  /// The series of one worker's state.
  std::string StateMetric(size_t index, const std::string& state) const;

  const ScratchDirectory& directory() const { return directory_; }

 private:
  void WriteWorkerConfig(size_t index, Serves serves, const std::string& extra,
                         const std::string& faults);

  ScratchDirectory directory_;
  std::string model_name_ = "linear";
  std::string worker_program_ = "parm-test-worker";
  LinearModelSpec model_;
  LinearModelSpec retrained_;
  std::vector<ClusterWorker> workers_;
  int num_frontends_ = 0;
};

}  // namespace parm
