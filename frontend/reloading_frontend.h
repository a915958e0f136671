#pragma once

// What the listeners of parm-frontend talk to: the frontend loop of the
// configuration in force. When the file is read anew (SIGHUP, or because it
// changed) a second loop is made of it beside the first. It takes the next
// query as soon as its workers are there; the first answers what it has and
// goes. Neither loop knows of the other.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"
#include "frontend/counter_carry.h"
#include "frontend/frontend_config.h"
#include "frontend/frontend_loop.h"
#include "frontend/query_capture.h"
#include "frontend/reload_counters.h"
#include "frontend/serve/query_service.h"

namespace parm {

/// Threads: the loop's alone.
/// Bounds:  at most one configuration waits for its workers and
///          kMaxDraining earlier ones for their last answers.
class ReloadingFrontend : public QueryService {
 public:
  static constexpr size_t kMaxDraining = 4;

  /// Reads the configuration file, as LoadFrontendConfig does.
  using Load = std::function<absl::StatusOr<FrontendOptions>()>;

  struct Timing {
    Duration poll = Milliseconds(20);  // whether the new workers are there
    Duration patience = Milliseconds(10'000);  // with them
  };

  /// Serves by `options` at once, and by what `load` returns from each Reload
  /// on.
  /// Errors: as FrontendLoop::Create and QueryCapture::Create.
  static absl::StatusOr<std::unique_ptr<ReloadingFrontend>> Create(
      boost::asio::io_context& loop, FrontendOptions options, Load load,
      const Timing& timing);
  ~ReloadingFrontend() override { *alive_ = false; }

  /// Reads the file. A model that is ready now must be ready by the new
  /// configuration, or no longer in it, before that is in force; until then,
  /// and for good if that takes longer than `patience` or the file is wrong,
  /// the old one serves on. The log says which. Sections `http`, `grpc`
  /// and `exit_timeout` are not read again, but for `tls`; and a changed
  /// `capture` is refused: they need a restart.
  void Reload();

  /// As FrontendLoop's, over the loop that serves and those before it.
  void Drain(std::function<void()> drained);
  void AppendMetrics(std::function<std::string()> text) {
    further_metrics_ = std::move(text);
  }

  /// `use` gets the ports' certificates when those in force have changed.
  void OnCertificates(std::function<void(const PortsTls&)> use) {
    use_certificates_ = std::move(use);
  }

  const ReloadCounters& counters() const { return counters_; }
  /// Earlier configurations that have not ended.
  size_t num_draining() const { return draining_.size(); }

  // QueryService.
  QueryHandle Infer(oip::InferRequest request, Done done) override;
  void Abandon(QueryHandle handle) override;
  bool Ready() const override { return serving_.loop->Ready(); }
  absl::StatusOr<bool> ModelReady(const std::string& model,
                                  const std::string& version) const override {
    return serving_.loop->ModelReady(model, version);
  }
  absl::StatusOr<ModelMetadata> Metadata(
      const std::string& model, const std::string& version) const override {
    return serving_.loop->Metadata(model, version);
  }
  std::vector<std::string> ModelNames() const override {
    return serving_.loop->ModelNames();
  }
  absl::StatusOr<std::vector<oip::ModelStatistics>> Statistics(
      const std::string& model, const std::string& version) const override;
  std::string MetricsText() override;

 private:
  // One configuration and the loop that serves by it.
  struct Generation {
    uint64_t number = 0;
    std::unique_ptr<FrontendLoop> loop;  // null: none
    PortsTls tls;
  };

  ReloadingFrontend(boost::asio::io_context& loop, Load load,
                    const Timing& timing, const FrontendOptions& options)
      : loop_(loop),
        load_(std::move(load)),
        timing_(timing),
        http_(options.http),
        grpc_(options.grpc),
        captures_(options.captures),
        timer_(loop) {}

  absl::Status Prepare();
  void AwaitWorkers();
  // The first model that is ready now and would not be; empty: none.
  std::string WouldLose() const;
  void TakeOver();
  void Ended(uint64_t number);
  // `then`, unless this has been destroyed by then.
  std::function<void()> WhileAlive(std::function<void()> then) const;

  // Constant after Create.
  boost::asio::io_context& loop_;
  const Load load_;
  const Timing timing_;
  const HttpLimits http_;
  const GrpcLimits grpc_;
  const std::vector<CaptureModel> captures_;
  std::unique_ptr<QueryCapture> capture_;  // null: nothing is captured
  std::function<std::string()> further_metrics_;
  std::function<void(const PortsTls&)> use_certificates_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  Generation serving_;
  Generation candidate_;  // waits for its workers
  std::vector<Generation> draining_;
  uint64_t last_number_ = 0;
  Time give_up_{};
  boost::asio::steady_timer timer_;
  CounterCarry carry_;                         // of the loops that have ended
  std::vector<oip::ModelStatistics> carried_;  // likewise, by name
  ReloadCounters counters_;
  bool shutting_down_ = false;
};

}  // namespace parm
