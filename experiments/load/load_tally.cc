#include "experiments/load/load_tally.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace parm {
namespace {

constexpr Duration kLateSend = Milliseconds(1);
constexpr double kMaxLateShare = 0.01;

constexpr std::array<absl::string_view, 6> kSourceNames = {
    "exact", "hedged", "reconstructed", "exit", "backup", "default"};

double ToMilliseconds(Duration d) { return ToSeconds(d) * 1e3; }

Figure Share(int64_t part, int64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

/// The sample of a rank counted from 1.
double RankMs(const LatencyHistogram& histogram, int64_t rank) {
  const auto count = static_cast<double>(histogram.count());
  return ToMilliseconds(
      histogram.Quantile((static_cast<double>(rank) - 0.5) / count));
}

}  // namespace

std::optional<Outcome> ParseSource(absl::string_view source) {
  if (source.empty()) return Outcome::kExact;
  for (size_t i = 0; i < kSourceNames.size(); ++i) {
    if (source == kSourceNames[i]) return static_cast<Outcome>(i);
  }
  return std::nullopt;
}

absl::string_view OutcomeName(Outcome outcome) {
  if (outcome == Outcome::kError) return "error";
  if (outcome == Outcome::kLost) return "lost";
  return kSourceNames[static_cast<size_t>(outcome)];
}

LatencyFigures FiguresOf(const LatencyHistogram& histogram) {
  LatencyFigures figures;
  if (histogram.count() == 0) return figures;
  const auto ms = [&histogram](double quantile) {
    return ToMilliseconds(histogram.Quantile(quantile));
  };
  figures.p50 = ms(0.5);
  figures.p90 = ms(0.9);
  figures.p99 = ms(0.99);
  figures.p99_9 = ms(0.999);
  figures.max = ToMilliseconds(histogram.max());
  // The rank of the true quantile among n samples is binomial; both ends must
  // fall inside the sample to bound anything.
  const auto n = static_cast<double>(histogram.count());
  const double spread = 1.96 * std::sqrt(n * 0.999 * 0.001);
  const auto low = static_cast<int64_t>(std::floor(n * 0.999 - spread));
  const auto high = static_cast<int64_t>(std::ceil(n * 0.999 + spread)) + 1;
  if (low >= 1) figures.p99_9_low = RankMs(histogram, low);
  if (high <= histogram.count()) figures.p99_9_high = RankMs(histogram, high);
  return figures;
}

void LoadTally::RecordSend(Duration lag) {
  send_lag_.Record(lag);
  if (lag > kLateSend) ++sends_late_;
}

void LoadTally::Record(const FinishedQuery& query) {
  Kind& kind = kinds_[static_cast<size_t>(query.outcome)];
  ++kind.count;
  kind.samples += query.samples;
  kind.right += query.right;
  if (query.shed) ++shed_;
  if (query.deployed_right.has_value()) {
    reference_samples_ += query.samples;
    reference_right_ += *query.deployed_right;
  }
  // A quick error must not look like a quick answer.
  const bool failed = query.outcome == Outcome::kDefault ||
                      query.outcome == Outcome::kError ||
                      query.outcome == Outcome::kLost;
  const Duration floor = failed ? deadline_ : Duration{0};
  const Duration latency = std::max(query.latency, floor);
  latency_.Record(latency);
  if (query.clean_service > Duration{0}) {
    ++clean_known_;
    for (size_t i = 0; i < kTailMultiples.size(); ++i) {
      if (latency > kTailMultiples[i] * query.clean_service) ++over_clean_[i];
    }
  }
  latency_from_send_.Record(std::max(query.latency_from_send, floor));
}

std::optional<std::string> LoadTally::RefusalReason() const {
  const Figure late = Share(sends_late_, send_lag_.count());
  if (!late.has_value()) return "no query was sent";
  if (*late <= kMaxLateShare) return std::nullopt;
  return absl::StrFormat(
      "%.2f %% of the sends left over 1 ms late (limit 1 %%): the load "
      "generator is what was measured",
      *late * 100);
}

void LoadTally::FillEntry(RunEntry* entry) const {
  entry->queries = num_queries();
  entry->answers = {.exact = count(Outcome::kExact),
                    .hedged = count(Outcome::kHedged),
                    .reconstructed = count(Outcome::kReconstructed),
                    .exit = count(Outcome::kExit),
                    .backup = count(Outcome::kBackup),
                    .default_answer = count(Outcome::kDefault),
                    .error = count(Outcome::kError),
                    .lost = count(Outcome::kLost)};
  entry->shed = shed_;
  entry->latency_ms = FiguresOf(latency_);
  entry->latency_from_send_ms = FiguresOf(latency_from_send_);
  if (send_lag_.count() > 0) {
    entry->send_lag_ms = {
        .p50 = ToMilliseconds(send_lag_.Quantile(0.5)),
        .p99 = ToMilliseconds(send_lag_.Quantile(0.99)),
        .p99_9 = ToMilliseconds(send_lag_.Quantile(0.999)),
        .max = ToMilliseconds(send_lag_.max()),
        .over_1ms_share = Share(sends_late_, send_lag_.count())};
  }
  entry->tail_mass = {.over_2_service = Share(over_clean_[0], clean_known_),
                      .over_3_service = Share(over_clean_[1], clean_known_),
                      .over_5_service = Share(over_clean_[2], clean_known_)};
  Kind delivered;
  for (size_t i = 0; i < kSourceNames.size(); ++i) {
    delivered.samples += kinds_[i].samples;
    delivered.right += kinds_[i].right;
  }
  const auto accuracy_of = [this](Outcome outcome) {
    const Kind& kind = kinds_[static_cast<size_t>(outcome)];
    return Share(kind.right, kind.samples);
  };
  entry->accuracy = {.deployed = Share(reference_right_, reference_samples_),
                     .delivered = Share(delivered.right, delivered.samples),
                     .exact = accuracy_of(Outcome::kExact),
                     .reconstructed = accuracy_of(Outcome::kReconstructed)};
  entry->refused = RefusalReason();
}

std::string LoadTally::CdfCsv() const {
  std::string csv = "quantile,latency_ms,latency_from_send_ms\n";
  const auto append = [this, &csv](double quantile) {
    absl::StrAppendFormat(
        &csv, "%.8f,%.6f,%.6f\n", quantile,
        ToMilliseconds(latency_.Quantile(quantile)),
        ToMilliseconds(latency_from_send_.Quantile(quantile)));
  };
  for (int percent = 0; percent < 90; ++percent) append(percent / 100.0);
  // Twenty points a decade of the share above, down to one sample.
  const double smallest =
      1.0 / static_cast<double>(std::max<int64_t>(1, num_queries()));
  for (double above = 0.1; above > smallest; above /= std::pow(10.0, 0.05)) {
    append(1 - above);
  }
  append(1);
  return csv;
}

}  // namespace parm
