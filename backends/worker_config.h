#pragma once

// worker.yaml as options: defaults filled in, durations and devices parsed,
// bundle paths resolved.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/faults.h"
#include "backends/model.h"
#include "backends/pacing.h"
#include "backends/worker_loop.h"
#include "proto/config.pb.h"

namespace parm {

struct WorkerConfig {
  struct BundleEntry {
    std::string path;
    std::optional<PaceOptions> pace;
  };
  WorkerLoop::Options loop;
  Device device = Device::kCpu;
  int intra_op_threads = 1;
  std::vector<BundleEntry> bundles;
};

/// Relative bundle paths count from the folder of the configuration file.
/// Errors: as LoadStrictYaml; kInvalidArgument "FILE:LINE: ..." if the address
///         is not one of libzmq's tcp or ipc, a value is out of range, a
///         fault event states a condition in part, or a CURVE key cannot be
///         read.
absl::StatusOr<WorkerConfig> LoadWorkerConfig(const std::string& path);

/// One fault event of the configuration, which simulations read too.
/// Errors: kInvalidArgument if it states a condition in part.
absl::StatusOr<FaultWindow> MakeFaultWindow(const config::FaultEvent& event);

/// Loads and warms up every bundle of the configuration.
/// Errors: as LoadBundle and ServedBundle::Create, with the bundle's path.
absl::StatusOr<std::vector<std::unique_ptr<const ServedBundle>>> LoadBundles(
    const WorkerConfig& config, const ModelLoader& load_model);

}  // namespace parm
