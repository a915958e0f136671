#include "tests/backends/running_worker.h"

#include <cstring>
#include <utility>

#include "base/status_macros.h"

namespace parm {
namespace {

class GatedModel : public Model {
 public:
  GatedModel(std::unique_ptr<const Model> model, Gate* gate)
      : model_(std::move(model)), gate_(gate) {}

  absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> inputs) const override {
    float first = 0;
    std::memcpy(&first, inputs[0].bytes.bytes().data(), sizeof(first));
    gate_->Pass(first);
    return model_->Run(inputs);
  }

 private:
  const std::unique_ptr<const Model> model_;
  Gate* const gate_;
};

}  // namespace

void Gate::Close() {
  MutexLock lock(&mu_);
  open_ = false;
  passed_.clear();
}

void Gate::Open() {
  MutexLock lock(&mu_);
  open_ = true;
  opened_.SignalAll();
}

std::vector<float> Gate::passed() const {
  MutexLock lock(&mu_);
  return passed_;
}

void Gate::Pass(float first_element) {
  MutexLock lock(&mu_);
  while (!open_) opened_.Wait(&mu_);
  passed_.push_back(first_element);
}

RunningWorker::RunningWorker(const Settings& settings) {
  const LinearBundleOptions options = {.model = kModel, .sample_shape = {4}};
  auto deployed = WriteLinearBundle(scratch_ / "deployed", options);
  PARM_CHECK(deployed.ok());
  deployed_ = *std::move(deployed);
  auto parity = WriteLinearParityBundle(scratch_ / "parity", options, deployed_,
                                        {.scheme = "sum", .k = 2});
  PARM_CHECK(parity.ok());
  parity_ = *std::move(parity);
  std::vector<std::unique_ptr<const ServedBundle>> bundles;
  bundles.push_back(Serve(deployed_, settings.pace));
  bundles.push_back(Serve(parity_, settings.pace));
  auto loop = WorkerLoop::Create(settings.loop, std::move(bundles));
  PARM_CHECK(loop.ok());
  loop_ = *std::move(loop);
  thread_ = std::thread([this] { loop_->Run(); });
}

RunningWorker::~RunningWorker() {
  gate_.Open();
  if (thread_.joinable()) Stop();
}

WorkerCounters RunningWorker::Stop() {
  loop_->RequestDrain();
  if (thread_.joinable()) thread_.join();
  return loop_->counters();
}

std::unique_ptr<const ServedBundle> RunningWorker::Serve(
    const Bundle& bundle, const std::optional<PaceOptions>& pace) {
  const ModelLoader load = [this](const ModelFile& file)
      -> absl::StatusOr<std::unique_ptr<const Model>> {
    PARM_ASSIGN_OR_RETURN(auto model, LoadLinearModel(file));
    return std::make_unique<const GatedModel>(std::move(model), &gate_);
  };
  auto served = ServedBundle::Create(bundle, load, {.pace = pace});
  PARM_CHECK(served.ok());
  return *std::move(served);
}

}  // namespace parm
