#include "frontend/upstream/oip/bundle_watch.h"

#include <chrono>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

void BundleWatch::Start(Time now, std::vector<Model> models) {
  Stop();
  models_ = std::move(models);
  at_model_ = 0;
  at_probe_ = 0;
  // Servers that say hello together are not asked together.
  next_ =
      now + FromSeconds(ToSeconds(parts_.interval) * (0.5 + parts_.phase / 2));
}

void BundleWatch::Stop() {
  ++start_;
  models_.clear();
  if (std::exchange(asking_, false)) *parts_.anyone_asks = false;
}

void BundleWatch::Run(Time now, size_t num_tasks) {
  if (models_.empty() || parts_.interval <= Duration{0} || now < next_ ||
      *parts_.anyone_asks || num_tasks >= parts_.max_in_flight) {
    return;
  }
  const Model& model = models_[at_model_];
  const absl::StatusOr<uint64_t> asked = parts_.channel->Infer(
      model.index, ProbeRequest(*model.known, at_probe_, model.input_name),
      now + parts_.timeout, [this, start = start_](ServerAnswer answer) {
        if (start == start_) OnAnswer(Clock::now(), answer);
      });
  if (absl::IsResourceExhausted(asked.status())) return;
  if (!asked.ok()) return EndRound(now, &parts_.counters->unanswered);
  asking_ = *parts_.anyone_asks = true;
}

void BundleWatch::OnAnswer(Time now, const ServerAnswer& answer) {
  asking_ = *parts_.anyone_asks = false;
  if (answer.end != ExchangeEnd::kReplied ||
      (!answer.status.ok() && answer.retryable)) {
    return EndRound(now, &parts_.counters->unanswered);
  }
  const Model& model = models_[at_model_];
  const bool same =
      answer.status.ok() &&
      CheckProbe(*model.known, at_probe_,
                 std::get<oip::InferResponse>(answer.content).outputs)
          .ok();
  if (same && ++at_probe_ < model.known->num_probes) return;
  if (same == model.same) return NextModel(now);
  ++parts_.counters->changed;
  Stop();
  parts_.on_changed();
}

void BundleWatch::NextModel(Time now) {
  at_probe_ = 0;
  if (++at_model_ == models_.size()) EndRound(now, &parts_.counters->same);
}

void BundleWatch::EndRound(Time now, uint64_t* counter) {
  ++*counter;
  at_model_ = 0;
  at_probe_ = 0;
  next_ = now + parts_.interval;
}

}  // namespace parm
