#include "parity_trainer/progress.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace parm {
namespace {

constexpr int kBarWidth = 24;
constexpr Duration kRedrawEvery = Milliseconds(200);

double Fraction(const ProgressState& state) {
  if (state.steps <= 0) return 1;
  return static_cast<double>(state.step) / static_cast<double>(state.steps);
}

std::string Facts(const ProgressState& state) {
  const auto left = static_cast<int64_t>(state.seconds_left + 0.5);
  std::string facts = absl::StrFormat("epoch %d/%d  loss %.4f", state.epoch,
                                      state.epochs, state.loss);
  if (state.accuracy) {
    absl::StrAppend(
        &facts, absl::StrFormat("  held out %.2f %%", 100 * *state.accuracy));
  }
  return absl::StrCat(
      facts, absl::StrFormat("  %.0f examples/s  %d:%02d left",
                             state.samples_per_second, left / 60, left % 60));
}

}  // namespace

std::string ProgressBar(const ProgressState& state) {
  const int filled =
      std::clamp(static_cast<int>(Fraction(state) * kBarWidth), 0, kBarWidth);
  std::string bar(static_cast<size_t>(filled), '=');
  bar.resize(kBarWidth, ' ');
  return absl::StrFormat("%s [%s] %3.0f %%  %s", state.label, bar,
                         100 * Fraction(state), Facts(state));
}

std::string ProgressLine(const ProgressState& state) {
  return absl::StrCat(state.label, ": ", Facts(state));
}

ProgressReporter::ProgressReporter(std::string label, std::FILE* out,
                                   bool terminal)
    : label_(std::move(label)), out_(out), terminal_(terminal) {}

ProgressReporter::~ProgressReporter() {
  if (line_open_) std::fputc('\n', out_);
}

void ProgressReporter::Begin(Time now, int64_t first_step, int64_t steps,
                             int64_t epochs) {
  begin_ = now;
  drawn_ = now;
  first_step_ = first_step;
  step_ = first_step;
  steps_ = steps;
  epochs_ = epochs;
}

void ProgressReporter::Step(Time now, int64_t samples, double loss) {
  ++step_;
  samples_ += samples;
  loss_sum_ += loss;
  ++losses_;
  if (!terminal_ || now - drawn_ < kRedrawEvery) return;
  DrawBar(now);
}

void ProgressReporter::EndEpoch(Time now, int64_t epoch,
                                std::optional<double> accuracy) {
  epoch_ = epoch;
  accuracy_ = accuracy;
  if (terminal_) {
    DrawBar(now);
  } else if (out_ != nullptr) {
    absl::FPrintF(out_, "%s\n", ProgressLine(Snapshot(now)));
    std::fflush(out_);
  }
  loss_sum_ = 0;
  losses_ = 0;
}

void ProgressReporter::DrawBar(Time now) {
  if (out_ == nullptr) return;
  drawn_ = now;
  line_open_ = true;
  absl::FPrintF(out_, "\r%s\033[K", ProgressBar(Snapshot(now)));
  std::fflush(out_);
}

ProgressState ProgressReporter::Snapshot(Time now) const {
  ProgressState state{.label = label_,
                      .epoch = epoch_,
                      .epochs = epochs_,
                      .step = step_,
                      .steps = steps_,
                      .accuracy = accuracy_};
  if (losses_ > 0) state.loss = loss_sum_ / static_cast<double>(losses_);
  const double seconds = ToSeconds(now - begin_);
  const auto done = static_cast<double>(step_ - first_step_);
  if (seconds > 0 && done > 0) {
    state.samples_per_second = static_cast<double>(samples_) / seconds;
    state.seconds_left = seconds / done * static_cast<double>(steps_ - step_);
  }
  return state;
}

}  // namespace parm
