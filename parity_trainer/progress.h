#pragma once

// How far a training run is: a bar that redraws itself on a terminal, one plain
// line per epoch elsewhere.

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "base/time.h"

namespace parm {

struct ProgressState {
  std::string label;
  int64_t epoch = 0;  // finished ones
  int64_t epochs = 0;
  int64_t step = 0;  // since the beginning, resumed part included
  int64_t steps = 0;
  double loss = 0;  // mean since the last report
  double samples_per_second = 0;
  double seconds_left = 0;
  std::optional<double> accuracy;  // of held-out samples, at the last epoch
};

/// "parity [=====>    ] 52 %  epoch 6/12  loss 0.1234  20512 examples/s  0:31
/// left", without a line end.
std::string ProgressBar(const ProgressState& state);

/// The same facts without the bar.
std::string ProgressLine(const ProgressState& state);

/// Threads: one.
class ProgressReporter {
 public:
  /// `out`: nullptr for silence. `terminal`: whether it redraws lines on '\r'.
  ProgressReporter(std::string label, std::FILE* out, bool terminal);
  ProgressReporter(const ProgressReporter&) = delete;
  ProgressReporter& operator=(const ProgressReporter&) = delete;
  /// Ends the line of a bar that stopped in the middle.
  ~ProgressReporter();

  /// Starts the clock. Rates count from here.
  void Begin(Time now, int64_t first_step, int64_t steps, int64_t epochs);
  /// After each step; draws at most five times a second.
  void Step(Time now, int64_t samples, double loss);
  /// `accuracy`: of the held-out samples, if there are any.
  void EndEpoch(Time now, int64_t epoch, std::optional<double> accuracy);

 private:
  ProgressState Snapshot(Time now) const;
  void DrawBar(Time now);

  const std::string label_;
  std::FILE* const out_;
  const bool terminal_;
  bool line_open_ = false;
  Time begin_;
  Time drawn_;
  int64_t first_step_ = 0;
  int64_t step_ = 0;
  int64_t steps_ = 0;
  int64_t epoch_ = 0;
  int64_t epochs_ = 0;
  int64_t samples_ = 0;
  int64_t losses_ = 0;
  double loss_sum_ = 0;
  std::optional<double> accuracy_;
};

}  // namespace parm
