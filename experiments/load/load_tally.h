#pragma once

// Counts what became of every query of a run and turns the counts into one
// entry of the run record. It reads no clock and knows no socket.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/latency_histogram.h"
#include "base/time.h"
#include "experiments/run_record.h"

namespace parm {

/// How a query ended. Order as in AnswerCounts.
enum class Outcome : uint8_t {
  kExact,
  kHedged,
  kReconstructed,
  kExit,
  kBackup,
  kDefault,
  kError,
  kLost,
};
inline constexpr size_t kNumOutcomes = 8;

/// The value of x-parm-source as an outcome; a server that sets none gives
/// exact answers. nullopt for a word that is none of ours.
std::optional<Outcome> ParseSource(absl::string_view source);

/// "exact", ..., "error", "lost".
absl::string_view OutcomeName(Outcome outcome);

/// One query that is over.
struct FinishedQuery {
  Outcome outcome = Outcome::kLost;
  Duration latency{0};            // scheduled send to end
  Duration latency_from_send{0};  // actual send to end
  int samples = 1;                // that the query held
  int right = 0;                  // of these the answer agrees with the label
  /// On how many of them the deployed model is right; nullopt without a
  /// reference.
  std::optional<int> deployed_right;
  bool shed = false;  // refused by the server with 503
  /// What the query takes where nothing goes wrong; 0: unknown.
  Duration clean_service{0};
};

/// Of the clean service time: the tail mass is the share of queries over each.
inline constexpr std::array<int, 3> kTailMultiples = {2, 3, 5};

class LoadTally {
 public:
  /// Errors and defaults count as at least `deadline`.
  explicit LoadTally(Duration deadline) : deadline_(deadline) {}

  /// How long after its due time a query left. Once per query sent.
  void RecordSend(Duration lag);
  void Record(const FinishedQuery& query);

  int64_t num_queries() const { return latency_.count(); }
  int64_t count(Outcome outcome) const {
    return kinds_[static_cast<size_t>(outcome)].count;
  }
  const LatencyHistogram& latency() const { return latency_; }
  const LatencyHistogram& latency_from_send() const {
    return latency_from_send_;
  }

  /// Why this run must not be used: more than 1 % of its sends left over 1 ms
  /// late, so that the generator is what was measured. nullopt if it may.
  std::optional<std::string> RefusalReason() const;

  /// Fills in what was counted; rates, labels and process figures are the
  /// caller's.
  void FillEntry(RunEntry* entry) const;

  /// "quantile,latency_ms,latency_from_send_ms" lines from 0 to 1: steps of
  /// 0.01 up to 0.9, then ever finer towards 1 as far as the sample reaches.
  std::string CdfCsv() const;

 private:
  struct Kind {
    int64_t count = 0;
    int64_t samples = 0;
    int64_t right = 0;
  };

  const Duration deadline_;
  Kind kinds_[kNumOutcomes];
  int64_t clean_known_ = 0;  // queries whose clean_service is known
  std::array<int64_t, kTailMultiples.size()> over_clean_{};
  int64_t shed_ = 0;
  int64_t reference_samples_ = 0;
  int64_t reference_right_ = 0;
  int64_t sends_late_ = 0;
  LatencyHistogram latency_;
  LatencyHistogram latency_from_send_;
  LatencyHistogram send_lag_;
};

/// Quantiles of a histogram, with the 95 % interval of p99.9 by the binomial
/// law of order statistics.
LatencyFigures FiguresOf(const LatencyHistogram& histogram);

}  // namespace parm
