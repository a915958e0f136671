#include "frontend/reloading_frontend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/frontend_metrics.h"
#include "frontend/model_statistics.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

// A handle is the loop's own with the low bits of its generation above it. No
// more than kMaxDraining + 2 are alive, so 16 bits tell them apart.
constexpr int kGenerationShift = 48;

uint64_t GenerationBits(uint64_t number) { return number << kGenerationShift; }

bool AnyCaptured(const std::vector<CaptureModel>& models) {
  return std::any_of(models.begin(), models.end(), [](const auto& model) {
    return !model.options.directory.empty();
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReloadingFrontend>> ReloadingFrontend::Create(
    boost::asio::io_context& loop, FrontendOptions options, Load load,
    const Timing& timing) {
  std::unique_ptr<ReloadingFrontend> frontend(
      new ReloadingFrontend(loop, std::move(load), timing, options));
  PARM_ASSIGN_OR_RETURN(frontend->capture_,
                        QueryCapture::Create(options.captures));
  frontend->serving_.tls = options.tls;
  PARM_ASSIGN_OR_RETURN(
      frontend->serving_.loop,
      FrontendLoop::Create(loop, std::move(options), frontend->capture_.get()));
  frontend->serving_.number = ++frontend->last_number_;
  return frontend;
}

// ---- A new configuration -------------------------------------------------

void ReloadingFrontend::Reload() {
  if (shutting_down_) return;
  const absl::Status status = Prepare();
  if (!status.ok()) {
    ++counters_.refused;
    spdlog::error("configuration not reloaded, the old one stays: {}",
                  std::string(status.message()));
    return;
  }
  give_up_ = std::chrono::steady_clock::now() + timing_.patience;
  AwaitWorkers();
}

absl::Status ReloadingFrontend::Prepare() {
  PARM_ASSIGN_OR_RETURN(FrontendOptions options, load_());
  // What is captured goes by the models' order; where nothing is, none matters.
  if ((AnyCaptured(options.captures) || capture_ != nullptr) &&
      options.captures != captures_) {
    return absl::FailedPreconditionError(
        "section capture has changed: this needs a restart");
  }
  if (options.http != http_) {
    spdlog::warn("section http has changed: this takes a restart");
  }
  if (options.grpc != grpc_) {
    spdlog::warn("section grpc has changed: this takes a restart");
  }
  if (draining_.size() >= kMaxDraining) {
    return absl::ResourceExhaustedError(
        absl::StrCat(draining_.size(),
                     " earlier configurations have queries to answer still"));
  }
  // An earlier one that still waits has no queries: this one takes its place.
  candidate_.loop = nullptr;
  candidate_.tls = options.tls;
  PARM_ASSIGN_OR_RETURN(
      candidate_.loop,
      FrontendLoop::Create(loop_, std::move(options), capture_.get()));
  candidate_.number = ++last_number_;
  return absl::OkStatus();
}

void ReloadingFrontend::AwaitWorkers() {
  const std::string lost = WouldLose();
  if (lost.empty()) {
    TakeOver();
    return;
  }
  if (std::chrono::steady_clock::now() >= give_up_) {
    ++counters_.not_ready;
    spdlog::error(
        "configuration not reloaded, the old one stays: by the new one no "
        "worker served model '{}' within {} ms",
        lost, timing_.patience / Milliseconds(1));
    candidate_.loop = nullptr;
    return;
  }
  timer_.expires_after(timing_.poll);
  timer_.async_wait([this, alive = alive_, number = candidate_.number](
                        const boost::system::error_code& error) {
    if (error || !*alive || candidate_.loop == nullptr) return;
    if (candidate_.number == number) AwaitWorkers();
  });
}

std::string ReloadingFrontend::WouldLose() const {
  for (const std::string& model : serving_.loop->ModelNames()) {
    const absl::StatusOr<bool> now = serving_.loop->ModelReady(model, "");
    const absl::StatusOr<bool> then = candidate_.loop->ModelReady(model, "");
    if (now.ok() && *now && then.ok() && !*then) return model;
  }
  return "";
}

void ReloadingFrontend::TakeOver() {
  Generation old = std::exchange(serving_, std::move(candidate_));
  candidate_ = {};
  ++counters_.applied;
  spdlog::info("configuration reloaded");
  if (use_certificates_ != nullptr && serving_.tls != old.tls) {
    use_certificates_(serving_.tls);
  }
  FrontendLoop& loop = *old.loop;
  const uint64_t number = old.number;
  draining_.push_back(std::move(old));
  loop.Drain(WhileAlive([this, number] { Ended(number); }));
}

void ReloadingFrontend::Ended(uint64_t number) {
  const auto old = std::find_if(
      draining_.begin(), draining_.end(),
      [number](const Generation& each) { return each.number == number; });
  if (old == draining_.end()) return;
  carry_.Add(old->loop->MetricsText());
  if (const auto models = old->loop->Statistics("", ""); models.ok()) {
    CarryOn(*models, &carried_);
  }
  draining_.erase(old);
}

std::function<void()> ReloadingFrontend::WhileAlive(
    std::function<void()> then) const {
  return [alive = alive_, then = std::move(then)] {
    if (*alive) then();
  };
}

// ---- The end -------------------------------------------------------------

void ReloadingFrontend::Drain(std::function<void()> drained) {
  shutting_down_ = true;
  candidate_.loop = nullptr;
  // Counts the loops that have something to answer.
  auto left = std::make_shared<size_t>(draining_.size() + 1);
  const std::function<void()> one = WhileAlive([left, drained] {
    if (--*left == 0) drained();
  });
  for (const Generation& old : draining_) old.loop->Drain(one);
  serving_.loop->Drain(one);
}

// ---- Clients -------------------------------------------------------------

QueryHandle ReloadingFrontend::Infer(oip::InferRequest request, Done done) {
  const QueryHandle handle =
      serving_.loop->Infer(std::move(request), std::move(done));
  return QueryHandle{static_cast<uint64_t>(handle) |
                     GenerationBits(serving_.number)};
}

void ReloadingFrontend::Abandon(QueryHandle handle) {
  const auto raw = static_cast<uint64_t>(handle);
  const QueryHandle inner{raw & (GenerationBits(1) - 1)};
  const auto is_of = [raw](const Generation& generation) {
    return GenerationBits(raw >> kGenerationShift) ==
           GenerationBits(generation.number);
  };
  if (is_of(serving_)) {
    serving_.loop->Abandon(inner);
    return;
  }
  const auto old = std::find_if(draining_.begin(), draining_.end(), is_of);
  if (old != draining_.end()) old->loop->Abandon(inner);
}

absl::StatusOr<std::vector<oip::ModelStatistics>> ReloadingFrontend::Statistics(
    const std::string& model, const std::string& version) const {
  PARM_ASSIGN_OR_RETURN(auto models, serving_.loop->Statistics(model, version));
  AddEarlier(carried_, &models);
  for (const Generation& old : draining_) {
    if (const auto before = old.loop->Statistics("", ""); before.ok()) {
      AddEarlier(*before, &models);
    }
  }
  return models;
}

std::string ReloadingFrontend::MetricsText() {
  CounterCarry earlier = carry_;
  for (const Generation& old : draining_) {
    earlier.Add(old.loop->MetricsText());
  }
  std::string text = earlier.ApplyTo(serving_.loop->MetricsText());
  if (capture_ != nullptr) text += RenderCaptureMetrics(capture_->counters());
  text += RenderReloadMetrics(counters_, serving_.number);
  if (further_metrics_ != nullptr) text += further_metrics_();
  return text;
}

}  // namespace parm
