#pragma once

// How much redundancy the load leaves room for. Load is the share of the lanes
// that have ordinary work: redundant work is left out, so that what the gate
// lets in does not close it. It is sampled as each arrival finds it, and
// averaged over a window. What counts is the load as it would be with the extra
// work: load x (1 + extra work per query). Up to `open` there is ample room, so
// that small groups are worth their price. From `shut` on nothing is let in;
// over the last tenth below it the share falls in a straight line.

#include "base/time.h"
#include "frontend/core/core_options.h"

namespace parm::core {

/// Threads: owned by one.
class LoadGate {
 public:
  explicit LoadGate(const GateOptions& options) : options_(options) {}

  /// Whether a sample is of use: at high rates only now and then, as taking one
  /// costs a search for the bundle and an exponential.
  bool WantsSample(Time now) const {
    return now - sampled_ >= options_.window / kSamplesPerWindow;
  }
  /// An arrival found this share of the lanes busy.
  void Sample(Time now, double busy_share);

  double load() const { return load_; }

  /// Share of extra work that is let in, 0..1, if all of it would take
  /// `per_query` of a query's service time for each query.
  double Opening(double per_query) const;

  /// While nobody is slow, `calm_shut` takes the place of `shut`.
  void set_calm(bool calm) { calm_ = calm; }

  /// Whether the load leaves ample room for so much.
  bool HasAmpleRoom(double per_query) const {
    return load_ * (1 + per_query) < options_.open;
  }

  /// Lets that share of the calls through, evenly.
  bool Pass(double per_query);

 private:
  static constexpr int kSamplesPerWindow = 128;
  static constexpr double kFade = 0.1;
  const GateOptions options_;
  double load_ = 0;
  double credit_ = 0;
  bool calm_ = false;
  Time sampled_{};
};

}  // namespace parm::core
