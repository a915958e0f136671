#pragma once

// A WorkerLoop on a thread of its own for protocol tests. Its linear model can
// be made to wait, so that a test decides what runs and what is queued.

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backends/worker_loop.h"
#include "base/mutex.h"
#include "proto/bundle.h"
#include "tests/support/linear_model.h"
#include "tests/support/scratch_directory.h"

namespace parm {

/// Stops models in front of their work, and notes in which order they came.
/// Threads: any.
class Gate {
 public:
  void Close();
  void Open();
  /// The first element of every input that passed, in order.
  std::vector<float> passed() const;

  /// Called by models.
  void Pass(float first_element);

 private:
  mutable Mutex mu_;  // Guards what follows.
  CondVar opened_;
  bool open_ ABSL_GUARDED_BY(mu_) = true;
  std::vector<float> passed_ ABSL_GUARDED_BY(mu_);
};

class RunningWorker {
 public:
  /// Four inputs, three outputs, no bias.
  static constexpr LinearModelSpec kModel = {
      .seed = 5, .num_inputs = 4, .num_outputs = 3};

  struct Settings {
    WorkerLoop::Options loop = {
        .id = "w1", .fault_domain = "rack1", .bind = "tcp://127.0.0.1:0"};
    std::optional<PaceOptions> pace;
  };

  RunningWorker() : RunningWorker(Settings{}) {}
  explicit RunningWorker(const Settings& settings);
  /// Opens the gate and drains, if nobody has.
  ~RunningWorker();
  RunningWorker(const RunningWorker&) = delete;
  RunningWorker& operator=(const RunningWorker&) = delete;

  const std::string& endpoint() const { return loop_->endpoint(); }
  const Bundle& deployed() const { return deployed_; }
  const Bundle& parity() const { return parity_; }
  Gate& gate() { return gate_; }
  WorkerLoop* loop() { return loop_.get(); }
  void RequestDrain() { loop_->RequestDrain(); }
  /// Drains, waits for the end, and says what was counted.
  WorkerCounters Stop();

 private:
  std::unique_ptr<const ServedBundle> Serve(
      const Bundle& bundle, const std::optional<PaceOptions>& pace);

  ScratchDirectory scratch_;
  Gate gate_;
  Bundle deployed_;
  Bundle parity_;
  std::unique_ptr<WorkerLoop> loop_;
  std::thread thread_;
};

}  // namespace parm
