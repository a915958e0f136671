#include "experiments/run_record.h"

#include "base/json_writer.h"

namespace parm {
namespace {

void Write(JsonWriter& json, absl::string_view key, const Figure& value) {
  json.Key(key);
  if (value.has_value()) {
    json.Double(*value);
  } else {
    json.Null();
  }
}

void Write(JsonWriter& json, absl::string_view key,
           const std::optional<int64_t>& value) {
  json.Key(key);
  if (value.has_value()) {
    json.Int(*value);
  } else {
    json.Null();
  }
}

void Write(JsonWriter& json, absl::string_view key,
           const LatencyFigures& latency) {
  json.Key(key).BeginObject();
  Write(json, "p50", latency.p50);
  Write(json, "p90", latency.p90);
  Write(json, "p99", latency.p99);
  Write(json, "p99_9", latency.p99_9);
  Write(json, "p99_9_low", latency.p99_9_low);
  Write(json, "p99_9_high", latency.p99_9_high);
  Write(json, "max", latency.max);
  json.EndObject();
}

void WriteCode(JsonWriter& json, const std::optional<CodeLabel>& code) {
  json.Key("code");
  if (!code.has_value()) {
    json.Null();
    return;
  }
  json.BeginObject().Key("scheme").String(code->scheme);
  json.Key("k").Int(code->k).Key("r").Int(code->r).EndObject();
}

void WriteAnswers(JsonWriter& json, const AnswerCounts& answers) {
  json.Key("answers").BeginObject();
  json.Key("exact").Int(answers.exact);
  json.Key("hedged").Int(answers.hedged);
  json.Key("reconstructed").Int(answers.reconstructed);
  json.Key("exit").Int(answers.exit);
  json.Key("backup").Int(answers.backup);
  json.Key("default").Int(answers.default_answer);
  json.Key("error").Int(answers.error);
  json.Key("lost").Int(answers.lost);
  json.EndObject();
}

void WriteEntry(JsonWriter& json, const RunEntry& run) {
  json.BeginObject();
  json.Key("policy").String(run.policy);
  WriteCode(json, run.code);
  json.Key("scenario").String(run.scenario);
  Write(json, "load", run.load);
  Write(json, "workers", run.workers);
  json.Key("repeat").Int(run.repeat);
  Write(json, "offered_qps", run.offered_qps);
  Write(json, "achieved_qps", run.achieved_qps);
  json.Key("queries").Int(run.queries);
  WriteAnswers(json, run.answers);
  Write(json, "late_share", run.late_share);
  Write(json, "shed", run.shed);
  Write(json, "latency_ms", run.latency_ms);
  Write(json, "latency_from_send_ms", run.latency_from_send_ms);
  json.Key("tail_mass").BeginObject();
  Write(json, "over_2_service", run.tail_mass.over_2_service);
  Write(json, "over_3_service", run.tail_mass.over_3_service);
  Write(json, "over_5_service", run.tail_mass.over_5_service);
  json.EndObject();
  json.Key("send_lag_ms").BeginObject();
  Write(json, "p50", run.send_lag_ms.p50);
  Write(json, "p99", run.send_lag_ms.p99);
  Write(json, "p99_9", run.send_lag_ms.p99_9);
  Write(json, "max", run.send_lag_ms.max);
  Write(json, "over_1ms_share", run.send_lag_ms.over_1ms_share);
  json.EndObject();
  json.Key("accuracy").BeginObject();
  Write(json, "deployed", run.accuracy.deployed);
  Write(json, "delivered", run.accuracy.delivered);
  Write(json, "exact", run.accuracy.exact);
  Write(json, "reconstructed", run.accuracy.reconstructed);
  json.EndObject();
  Write(json, "extra_jobs_per_query", run.extra_jobs_per_query);
  Write(json, "extra_service_per_query", run.extra_service_per_query);
  Write(json, "wasted_service_per_query", run.wasted_service_per_query);
  Write(json, "cpu_us_per_query", run.cpu_us_per_query);
  Write(json, "rss_mb", run.rss_mb);
  json.Key("refused");
  if (run.refused.has_value()) {
    json.String(*run.refused);
  } else {
    json.Null();
  }
  json.EndObject();
}

}  // namespace

std::string ToJson(const RunRecord& record) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("name").String(record.name);
  json.Key("commit").String(record.commit);
  json.Key("machine").String(record.machine);
  json.Key("seed").Uint(record.seed);
  json.Key("started").String(record.started);
  json.Key("config").Raw(record.config_json);
  json.Key("runs").BeginArray();
  for (const RunEntry& run : record.runs) WriteEntry(json, run);
  json.EndArray().EndObject();
  return text;
}

}  // namespace parm
