#pragma once

// The run record: the one JSON document that everything that measures writes,
// so that runs of different programs, policies and days can be put side by
// side. experiments/README.md explains each field.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace parm {

/// What was not measured is nullopt here and null in the document, never 0.
using Figure = std::optional<double>;

struct CodeLabel {
  std::string scheme;
  int64_t k = 0;
  int64_t r = 0;
};

/// How each query ended, by the source that its answer stated. They add up to
/// RunEntry::queries.
struct AnswerCounts {
  int64_t exact = 0;
  int64_t hedged = 0;
  int64_t reconstructed = 0;
  int64_t exit = 0;
  int64_t backup = 0;
  int64_t default_answer = 0;
  int64_t error = 0;  // an answer that holds no prediction
  int64_t lost = 0;   // no answer at all
};

/// Unit: milliseconds. p99_9_low and p99_9_high bound p99_9 with 95 %
/// confidence, by order statistics; null when the sample is too small.
struct LatencyFigures {
  Figure p50, p90, p99, p99_9, p99_9_low, p99_9_high, max;
};

/// Shares of the queries that took longer than so many times what they take
/// where nothing goes wrong.
struct TailMass {
  Figure over_2_service;
  Figure over_3_service;
  Figure over_5_service;
};

/// Fractions of the answers of that kind that agree with the labels.
struct AccuracyFigures {
  Figure deployed;  // the deployed model on the same queries
  Figure delivered;
  Figure exact;
  Figure reconstructed;
};

/// How late the generator sent, scheduled to sent, in milliseconds.
struct SendLag {
  Figure p50, p99, p99_9, max;
  Figure over_1ms_share;
};

/// One candidate under one load, once.
struct RunEntry {
  std::string policy;
  std::optional<CodeLabel> code;
  std::string scenario;
  Figure load;
  std::optional<int64_t> workers;
  int64_t repeat = 0;
  Figure offered_qps;
  Figure achieved_qps;
  int64_t queries = 0;
  AnswerCounts answers;
  Figure late_share;
  std::optional<int64_t> shed;
  LatencyFigures latency_ms;            // from the scheduled send
  LatencyFigures latency_from_send_ms;  // from the actual send
  TailMass tail_mass;
  SendLag send_lag_ms;
  AccuracyFigures accuracy;
  Figure extra_jobs_per_query;
  Figure extra_service_per_query;
  /// Of jobs that no answer was made of, in clean mean service times.
  Figure wasted_service_per_query;
  Figure cpu_us_per_query;
  Figure rss_mb;
  /// Why the figures must not be used; nullopt if they may.
  std::optional<std::string> refused;
};

struct RunRecord {
  std::string name;
  std::string commit;
  std::string machine;
  uint64_t seed = 0;
  std::string started;      // UTC, "2026-01-31T12:00:00Z"
  std::string config_json;  // one JSON object
  std::vector<RunEntry> runs;
};

/// Needs: config_json is a JSON object.
std::string ToJson(const RunRecord& record);

/// Checks a document against the schema: every key there, none unknown, types
/// right, answers adding up to queries, shares and accuracies in [0, 1],
/// quantiles in order.
/// Errors: kInvalidArgument that names the run and the field.
absl::Status CheckRunRecord(absl::string_view json);

/// Reads the file, then as CheckRunRecord.
/// Errors: also as ReadWholeFile.
absl::Status CheckRunRecordFile(const std::string& path);

}  // namespace parm
