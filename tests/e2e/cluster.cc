#include "tests/e2e/cluster.h"

#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

// Fails loudly: a test cannot go on without its cluster.
template <typename T>
T Must(absl::StatusOr<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
  }
  PARM_CHECK(result.ok());
  return *std::move(result);
}

uint16_t PortOf(const std::string& address) {
  return static_cast<uint16_t>(
      std::atoi(address.substr(address.rfind(':') + 1).c_str()));
}

// Polls, since the condition lies in another process.
template <typename Condition>
bool Eventually(Condition condition) {
  const Clock::time_point give_up = Clock::now() + Process::kPatience;
  while (!condition()) {
    if (Clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace

Cluster::Cluster(const CodeSpec& code, const std::vector<int64_t>& sample_shape,
                 const std::vector<ConfidenceStep>& confidence)
    : model_{.seed = 3, .num_inputs = kInputs, .num_outputs = 4},
      retrained_{.seed = 4, .num_inputs = kInputs, .num_outputs = 4} {
  const LinearBundleOptions options{
      .model = model_, .sample_shape = sample_shape, .confidence = confidence};
  const Bundle deployed =
      Must(WriteLinearBundle(directory_ / "deployed", options));
  Must(WriteLinearParityBundle(directory_ / "parity", options, deployed, code));
  if (code.r > 1) {
    Must(WriteLinearParityBundle(directory_ / "second", options, deployed, code,
                                 1));
  }
  LinearBundleOptions anew = options;
  anew.model = retrained_;
  anew.version = "2";
  const Bundle retrained =
      Must(WriteLinearBundle(directory_ / "retrained", anew));
  Must(WriteLinearParityBundle(directory_ / "retrained_parity", anew, retrained,
                               code));
}

size_t Cluster::AddWorker(Serves serves, const std::string& extra,
                          const std::string& faults) {
  const size_t index = workers_.size();
  ClusterWorker worker;
  worker.name = absl::StrCat("w", index);
  worker.endpoint = absl::StrCat("ipc://", directory_ / worker.name, ".sock");
  worker.config_path = directory_ / (worker.name + ".yaml");
  workers_.push_back(std::move(worker));
  WriteWorkerConfig(index, serves, extra, faults);
  return index;
}

void Cluster::WriteWorkerConfig(size_t index, Serves serves,
                                const std::string& extra,
                                const std::string& faults) {
  const ClusterWorker& worker = workers_[index];
  const char* const bundle = serves == Serves::kDeployed       ? "deployed"
                             : serves == Serves::kParity       ? "parity"
                             : serves == Serves::kSecondParity ? "second"
                             : serves == Serves::kRetrained
                                 ? "retrained"
                                 : "retrained_parity";
  WriteFile(
      worker.config_path,
      absl::StrCat("id: ", worker.name, "\nbind: \"", worker.endpoint,
                   "\"\nbundles: [{path: ", bundle, extra, "}]\n", faults));
}

void Cluster::StartWorker(size_t index) {
  ClusterWorker& worker = workers_[index];
  worker.process = Must(Process::Start(
      {ProgramPath(worker_program_), "--config", worker.config_path},
      directory_ / (worker.name + ".log")));
  Must(worker.process->WaitForLine("parm-worker ready"));
}

void Cluster::StartWorkers() {
  for (size_t i = 0; i < workers_.size(); ++i) StartWorker(i);
}

void Cluster::KillWorker(size_t index) {
  workers_[index].process->Signal(SIGKILL);
  Must(workers_[index].process->Wait());
  workers_[index].process.reset();
}

std::string Cluster::FrontendConfig(const std::string& model,
                                    const std::string& more) const {
  std::string config = "workers:\n";
  for (const ClusterWorker& worker : workers_) {
    absl::StrAppend(&config, "  - {endpoint: \"", worker.endpoint, "\"}\n");
  }
  absl::StrAppend(&config, "models:\n  - name: ", model_name_, "\n", model,
                  more);
  // A worker that a busy machine held up is not silent.
  if (!absl::StrContains(more, "health:")) {
    absl::StrAppend(&config, "health: {heartbeat_timeout: 60s}\n");
  }
  return config;
}

ClusterFrontend Cluster::StartFrontend(const std::string& model,
                                       const std::string& more,
                                       bool with_grpc) {
  const std::string name = absl::StrCat("frontend", num_frontends_++);
  const std::string path = directory_ / (name + ".yaml");
  WriteFile(path, FrontendConfig(model, more));
  ClusterFrontend frontend;
  frontend.config_path = path;
  frontend.process = Must(Process::Start(
      {ProgramPath("parm-frontend"), "--config", path, "--http-port", "0",
       "--grpc-port", "0",
       absl::StrCat("--allow-grpc=", with_grpc ? "true" : "false"),
       "--metrics-port", "0"},
      directory_ / (name + ".log")));
  const std::string line =
      Must(frontend.process->WaitForLine("parm-frontend ready"));
  frontend.http_port = PortOf(FieldOf(line, "http"));
  frontend.metrics_port = PortOf(FieldOf(line, "metrics"));
  if (with_grpc) frontend.grpc_port = PortOf(FieldOf(line, "grpc"));
  return frontend;
}

std::vector<float> Cluster::Sample(uint64_t seed) {
  std::vector<float> sample(static_cast<size_t>(kInputs));
  for (size_t i = 0; i < sample.size(); ++i) {
    sample[i] = static_cast<float>((seed * 31 + i * 7) % 13) - 6;
  }
  return sample;
}

std::string Cluster::Metrics(const ClusterFrontend& frontend) {
  return "\n" + InferClient(frontend.metrics_port).Get("/metrics").body;
}

bool Cluster::WaitForMetric(const ClusterFrontend& frontend,
                            const std::string& name, double value) {
  return Eventually(
      [&] { return MetricValue(Metrics(frontend), name) >= value; });
}

bool Cluster::WaitUntilReady(const ClusterFrontend& frontend) {
  return Eventually([&] {
    return InferClient(frontend.http_port).Get("/v2/health/ready").status ==
           200;
  });
}

std::string Cluster::StateMetric(size_t index, const std::string& state) const {
  return absl::StrCat("parm_worker_state{worker=\"", workers_[index].endpoint,
                      "\",state=\"", state, "\"}");
}

}  // namespace parm
