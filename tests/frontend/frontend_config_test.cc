#include "frontend/frontend_config.h"

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kFull[] = R"(workers:
  - {endpoint: "tcp://10.0.0.1:7001"}
  - {endpoint: "ipc:///tmp/w2", fault_domain: rack2, max_in_flight: 3}
models:
  - name: fashion
    deadline: 400ms
    batching: {max_batch_size: 8, timeout: 2ms}
    redundancy:
      policy: coded
      mode: observe
      code: {scheme: sum, k: 3}
      group: {timeout: 10ms, short_group: unprotected}
      decode:
        trigger: {quantile: 0.8, min: 1ms, max: 50ms}
        slack: 7ms
        min_confidence: 0.75
        floor: 0.25
        max_noise_gain: 20
        min_agreement: 0.8
      hedge:
        delay: {quantile: 0.9, min: 2ms, max: 90ms}
        max_extra_load: 0.1
        min_per_second: 3
        burst: 4
        max_concurrent: 5
        max_late_share: 0.4
    default_answer: {values: [1, 2.5]}
  - name: plain
http: {max_body_bytes: 2048, max_connections: 5, max_pipelined: 6,
       idle_timeout: 7s, write_timeout: 8s, read_timeout: 9s,
       max_header_bytes: 512, max_json_bytes: 1025,
       max_decompressed_bytes: 1026}
limits: {max_queries: 9, max_buffered_bytes: 1048576, feedback_horizon: 3s,
         exit_timeout: 4s, max_sequences: 5, sequence_idle_timeout: 6s}
health: {heartbeat_timeout: 300ms,
         probe_interval: 20ms}
grpc: {max_message_bytes: 4096, max_calls: 7, max_streams: 8,
       max_stream_in_flight: 10, drain_patience: 11s}
)";

TEST(FrontendConfigTest, ResolvesEveryField) {
  PARM_ASSERT_OK_AND_ASSIGN(const FrontendOptions options,
                            ParseFrontendConfig(kFull, "f.yaml"));
  ASSERT_EQ(options.upstream.workers.size(), 2U);
  EXPECT_EQ(options.core.num_workers, 2U);
  EXPECT_EQ(options.upstream.workers[0].endpoint, "tcp://10.0.0.1:7001");
  EXPECT_THAT(options.catalog.fault_domains, ElementsAre("", "rack2"));
  EXPECT_THAT(options.catalog.max_in_flight, ElementsAre(16, 3));

  ASSERT_EQ(options.core.models.size(), 2U);
  const core::ModelOptions& model = options.core.models[0];
  EXPECT_EQ(model.name, "fashion");
  EXPECT_EQ(model.deadline, Milliseconds(400));
  EXPECT_EQ(model.max_batch_size, 8U);
  EXPECT_EQ(model.batch_timeout, Milliseconds(2));
  EXPECT_EQ(model.policy, core::PolicyKind::kCoded);
  EXPECT_EQ(model.mode, core::PolicyMode::kObserve);
  ASSERT_NE(model.code, nullptr);
  EXPECT_EQ(model.code->spec(), (CodeSpec{.scheme = "sum", .k = 3, .r = 1}));
  EXPECT_EQ(model.group_timeout, Milliseconds(10));
  EXPECT_FALSE(model.pad_short_groups);
  EXPECT_EQ(model.decode.trigger_quantile, 0.8);
  EXPECT_EQ(model.decode.trigger_min, Milliseconds(1));
  EXPECT_EQ(model.decode.trigger_max, Milliseconds(50));
  EXPECT_EQ(model.decode.slack, Milliseconds(7));
  EXPECT_EQ(model.decode.min_confidence, 0.75F);
  EXPECT_EQ(model.decode.floor, 0.25F);
  EXPECT_TRUE(options.catalog.models[0].needs_calibration);
  EXPECT_EQ(model.decode.max_noise_gain, 20);
  EXPECT_EQ(model.decode.min_agreement, 0.8);
  EXPECT_EQ(model.hedge.quantile, 0.9);
  EXPECT_EQ(model.hedge.min, Milliseconds(2));
  EXPECT_EQ(model.hedge.max, Milliseconds(90));
  EXPECT_EQ(model.hedge.budget.max_extra_load, 0.1);
  EXPECT_EQ(model.hedge.budget.min_per_second, 3);
  EXPECT_EQ(model.hedge.budget.burst, 4);
  EXPECT_EQ(model.hedge.budget.max_concurrent, 5U);
  EXPECT_EQ(model.hedge.max_late_share, 0.4);
  EXPECT_TRUE(model.has_default_answer);
  EXPECT_THAT(options.default_answers[0], ElementsAre(1, 2.5));

  EXPECT_EQ(options.http.max_body_bytes, 2048U);
  EXPECT_EQ(options.http.max_connections, 5U);
  EXPECT_EQ(options.http.max_pipelined, 6U);
  EXPECT_EQ(options.http.idle_timeout, Milliseconds(7000));
  EXPECT_EQ(options.http.write_timeout, Milliseconds(8000));
  EXPECT_EQ(options.http.read_timeout, Milliseconds(9000));
  EXPECT_EQ(options.http.max_header_bytes, 512U);
  EXPECT_EQ(options.http.max_json_bytes, 1025U);
  EXPECT_EQ(options.http.max_decompressed_bytes, 1026U);
  EXPECT_EQ(options.core.max_queries, 9U);
  EXPECT_EQ(options.core.max_buffered_bytes, 1048576U);
  EXPECT_EQ(options.core.feedback_horizon, Milliseconds(3000));
  EXPECT_EQ(options.exit_timeout, Milliseconds(4000));
  EXPECT_EQ(options.sequences.max_sequences, 5U);
  EXPECT_EQ(options.sequences.idle_timeout, Milliseconds(6000));
  EXPECT_EQ(options.core.heartbeat_timeout, Milliseconds(300));
  EXPECT_EQ(options.core.probe_interval, Milliseconds(20));
  EXPECT_EQ(options.grpc, (GrpcLimits{.max_message_bytes = 4096,
                                      .max_calls = 7,
                                      .max_streams = 8,
                                      .max_stream_in_flight = 10,
                                      .drain_patience = Milliseconds(11'000)}));
}

TEST(FrontendConfigTest, FillsInDefaults) {
  PARM_ASSERT_OK_AND_ASSIGN(const FrontendOptions options,
                            ParseFrontendConfig(kFull, "f.yaml"));
  const core::ModelOptions& plain = options.core.models[1];
  EXPECT_EQ(plain.deadline, Milliseconds(500));
  EXPECT_EQ(plain.max_batch_size, 1U);
  EXPECT_EQ(plain.policy, core::PolicyKind::kNone);
  EXPECT_EQ(plain.mode, core::PolicyMode::kAct);
  EXPECT_EQ(plain.code, nullptr);
  EXPECT_TRUE(plain.pad_short_groups);
  EXPECT_EQ(plain.decode.trigger_quantile, 0.90);
  EXPECT_EQ(plain.decode.min_confidence, std::nullopt);
  EXPECT_EQ(plain.decode.floor, std::nullopt);
  EXPECT_EQ(plain.decode.min_agreement, std::nullopt);
  EXPECT_FALSE(options.catalog.models[1].needs_calibration);
  EXPECT_FALSE(plain.has_default_answer);
}

TEST(FrontendConfigTest, ReplicateSaysWhenTheLoserGoes) {
  for (const auto& [cancel, want] :
       {std::pair{"", core::CancelLoser::kAtEnd},
        std::pair{", replicate: {cancel: end}", core::CancelLoser::kAtEnd},
        std::pair{", replicate: {cancel: start}",
                  core::CancelLoser::kAtStart}}) {
    PARM_ASSERT_OK_AND_ASSIGN(
        const FrontendOptions options,
        ParseFrontendConfig(
            absl::StrCat("workers: [{endpoint: \"ipc:///a\"}]\n"
                         "models: [{name: m,\n"
                         "          redundancy: {policy: replicate",
                         cancel, "}}]\n"),
            "f.yaml"));
    EXPECT_EQ(options.core.models[0].policy, core::PolicyKind::kReplicate);
    EXPECT_EQ(options.core.models[0].replicate_cancels, want);
  }
}

// A file with one model of this redundancy.
absl::StatusOr<FrontendOptions> ParseRedundancy(absl::string_view redundancy) {
  return ParseFrontendConfig(
      absl::StrCat("workers: [{endpoint: \"ipc:///a\"}]\n"
                   "models:\n  - name: m\n    redundancy: {",
                   redundancy, "}\n"),
      "f.yaml");
}

TEST(FrontendConfigTest, BackupPacksOneQueryUnlessToldOtherwise) {
  PARM_ASSERT_OK_AND_ASSIGN(FrontendOptions options,
                            ParseRedundancy("policy: backup"));
  EXPECT_EQ(options.core.models[0].policy, core::PolicyKind::kBackup);
  EXPECT_EQ(options.core.models[0].code->spec(),
            (CodeSpec{.scheme = "pack", .k = 1}));
  PARM_ASSERT_OK_AND_ASSIGN(
      options, ParseRedundancy("policy: backup, code: {scheme: pack, k: 4}"));
  EXPECT_EQ(options.core.models[0].code->spec().k, 4);
  EXPECT_THAT(ParseRedundancy("policy: backup, code: {scheme: sum, k: 2}"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("f.yaml:4: "),
                             HasSubstr("scheme: pack, k: K"))));
}

TEST(FrontendConfigTest, UnitsAreCodesToChooseFrom) {
  PARM_ASSERT_OK_AND_ASSIGN(
      FrontendOptions options,
      ParseRedundancy("policy: coded, units: [{scheme: sum, k: 2}, "
                      "{scheme: weighted, k: 4, r: 2}, {scheme: pack, k: 4}]"));
  const core::ModelOptions& model = options.core.models[0];
  ASSERT_EQ(model.num_units(), 3U);
  EXPECT_EQ(model.code_of(0)->spec(), (CodeSpec{.scheme = "sum", .k = 2}));
  EXPECT_EQ(model.code_of(1)->spec(),
            (CodeSpec{.scheme = "weighted", .k = 4, .r = 2}));
  EXPECT_EQ(model.code_of(2)->spec(), (CodeSpec{.scheme = "pack", .k = 4}));
  EXPECT_TRUE(options.catalog.models[0].chooses_unit);
  EXPECT_EQ(options.catalog.models[0].codes.size(), 3U);
  EXPECT_EQ(options.catalog.models[0].max_accuracy_drop, 0.02);

  PARM_ASSERT_OK_AND_ASSIGN(
      options, ParseRedundancy("policy: coded, max_accuracy_drop: 0.1, "
                               "units: [{scheme: sum, k: 2}]"));
  EXPECT_TRUE(options.catalog.models[0].chooses_unit);
  EXPECT_EQ(options.catalog.models[0].max_accuracy_drop, 0.1);
  PARM_ASSERT_OK_AND_ASSIGN(
      options, ParseRedundancy("policy: coded, code: {scheme: sum, k: 2}"));
  EXPECT_FALSE(options.catalog.models[0].chooses_unit);
  PARM_ASSERT_OK_AND_ASSIGN(
      options, ParseRedundancy("policy: none, units: [{scheme: sum, k: 2}]"));
  EXPECT_EQ(options.core.models[0].num_units(), 0U) << "it does not code";
}

TEST(FrontendConfigTest, UnitsThatMakeNoSenseAreRefused) {
  std::string nine = "policy: coded, units: [";
  for (int k = 2; k <= 10; ++k) {
    absl::StrAppend(&nine, "{scheme: sum, k: ", k, "}, ");
  }
  nine += "]";
  for (const auto& [redundancy, text] :
       std::vector<std::pair<std::string, std::string>>{
           {"policy: coded, code: {scheme: sum, k: 2}, "
            "units: [{scheme: sum, k: 3}]",
            "give one of them"},
           {nine, "more units than 8"},
           {"policy: coded, max_accuracy_drop: 0.1, code: {scheme: sum, k: 2}",
            "max_accuracy_drop is for units"},
           {"policy: coded, max_accuracy_drop: 1.5, "
            "units: [{scheme: sum, k: 2}]",
            "max_accuracy_drop"},
           {"policy: coded, units: [{scheme: sum, k: 2}, "
            "{scheme: sum, k: 2, r: 1}]",
            "unit given twice: sum k=2 r=1"},
           {"policy: coded, units: [{scheme: sum, k: 2}, {scheme: no, k: 2}]",
            "no"},
           {"policy: backup, units: [{scheme: pack, k: 2}, "
            "{scheme: sum, k: 2}]",
            "scheme: pack, k: K"},
           {"policy: hybrid, units: []", "or units: a list of them"}}) {
    SCOPED_TRACE(redundancy);
    EXPECT_THAT(ParseRedundancy(redundancy),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(StartsWith("f.yaml:4: "), HasSubstr(text))));
  }
}

TEST(FrontendConfigTest, HybridNeedsACodeAndNoNumbers) {
  PARM_ASSERT_OK_AND_ASSIGN(
      FrontendOptions options,
      ParseRedundancy("policy: hybrid, code: {scheme: sum, k: 4}"));
  const core::ModelOptions& plain = options.core.models[0];
  EXPECT_EQ(plain.policy, core::PolicyKind::kHybrid);
  EXPECT_EQ(plain.code->spec().k, 4);
  EXPECT_EQ(plain.hybrid.max_extra_load, 1);
  EXPECT_EQ(plain.hybrid.gate.open, 0.60);
  EXPECT_EQ(plain.hybrid.gate.shut, 0.95);
  EXPECT_EQ(plain.hybrid.gate.window, Milliseconds(1000));
  EXPECT_EQ(plain.hybrid.parity_cost, 0);
  EXPECT_EQ(plain.hybrid.gate.calm_share, 0.0005);
  EXPECT_EQ(plain.hybrid.gate.calm_shut, 0.75);
  EXPECT_EQ(plain.hybrid.run_quantile, 0.98);
  EXPECT_EQ(plain.hybrid.max_all_late, 0.0002);
  PARM_ASSERT_OK_AND_ASSIGN(
      options,
      ParseRedundancy(
          "policy: hybrid, code: {scheme: sum, k: 4}, hybrid: {max_extra_load: "
          "0.5, gate: {open: 0.1, shut: 0.2, window: 3s, calm_share: 0.01, "
          "calm_shut: 0.15}, parity_cost: 2, run_quantile: 0.9, max_all_late: "
          "1}"));
  const core::HybridOptions& hybrid = options.core.models[0].hybrid;
  EXPECT_EQ(hybrid.max_extra_load, 0.5);
  EXPECT_EQ(hybrid.gate.open, 0.1);
  EXPECT_EQ(hybrid.gate.shut, 0.2);
  EXPECT_EQ(hybrid.gate.window, Milliseconds(3000));
  EXPECT_EQ(hybrid.parity_cost, 2);
  EXPECT_EQ(hybrid.gate.calm_share, 0.01);
  EXPECT_EQ(hybrid.gate.calm_shut, 0.15);
  EXPECT_EQ(hybrid.run_quantile, 0.9);
  EXPECT_EQ(hybrid.max_all_late, 1);
  EXPECT_THAT(ParseRedundancy("policy: hybrid"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("policy hybrid needs a code")));
}

constexpr absl::string_view kOneModel =
    "workers: [{endpoint: \"ipc:///a\"}]\nmodels: [{name: m}]\n";

TEST(FrontendConfigTest, WorkerChoiceAndEjectionNeedNoNumbers) {
  PARM_ASSERT_OK_AND_ASSIGN(const FrontendOptions plain,
                            ParseFrontendConfig(kOneModel, "f.yaml"));
  EXPECT_EQ(plain.core.balancing.choice, core::WorkerChoice::kExpectedWait);
  const core::EjectionOptions& defaults = plain.core.ejection;
  EXPECT_EQ(defaults.consecutive_5xx, 5U);
  EXPECT_EQ(defaults.base_ejection_time, Milliseconds(30'000));
  EXPECT_EQ(defaults.max_ejection_percent, 10U);
  EXPECT_EQ(defaults.latency_factor, 0) << "off";
}

TEST(FrontendConfigTest, ResolvesWorkerChoiceAndEjection) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig(
          absl::StrCat(kOneModel,
                       "balancing: {worker_choice: peak_ewma, decay_time: 2s, "
                       "default_rtt: 3ms}\n"
                       "outlier_detection: {consecutive_5xx: 0, "
                       "consecutive_gateway_failure: 7, interval: 4s, "
                       "base_ejection_time: 400s, max_ejection_percent: 20, "
                       "latency_factor: 2.5, latency_request_volume: 9}\n"),
          "f.yaml"));
  const core::BalancingOptions& balancing = options.core.balancing;
  EXPECT_EQ(balancing.choice, core::WorkerChoice::kPeakEwma);
  EXPECT_EQ(balancing.decay_time, Milliseconds(2000));
  EXPECT_EQ(balancing.default_rtt, Milliseconds(3));
  const core::EjectionOptions& ejection = options.core.ejection;
  EXPECT_EQ(ejection.consecutive_5xx, 0U) << "never";
  EXPECT_EQ(ejection.consecutive_gateway_failure, 7U);
  EXPECT_EQ(ejection.interval, Milliseconds(4000));
  EXPECT_EQ(ejection.base_ejection_time, Milliseconds(400'000));
  EXPECT_EQ(ejection.max_ejection_time, Milliseconds(400'000))
      << "the default is not below the base";
  EXPECT_EQ(ejection.max_ejection_percent, 20U);
  EXPECT_EQ(ejection.latency_factor, 2.5);
  EXPECT_EQ(ejection.latency_request_volume, 9U);
}

TEST(FrontendConfigTest, AttemptHeadersAreReplacedOrIgnored) {
  const auto headers = [](absl::string_view yaml) {
    return ParseFrontendConfig(absl::StrCat(kOneModel, yaml), "f.yaml")
        .value()
        .attempt_headers;
  };
  EXPECT_EQ(headers(""), DefaultAttemptHeaders());
  EXPECT_EQ(headers("attempt_headers: {headers: [{name: x-try, first: 1}]}\n"),
            (std::vector<AttemptHeader>{{.name = "x-try", .first = 1}}));
  EXPECT_TRUE(headers("attempt_headers: {ignore: true}\n").empty());
}

TEST(FrontendConfigTest, RefusesEjectionsThatMakeNoSense) {
  const std::vector<std::pair<std::string, std::string>> mistakes = {
      {"outlier_detection: {interval: 0s}", "interval must be above 0"},
      {"outlier_detection: {base_ejection_time: 0s}",
       "base_ejection_time must be above 0"},
      {"outlier_detection: {max_ejection_time: 1s}",
       "max_ejection_time is below base_ejection_time"},
      {"outlier_detection: {latency_factor: 1}", "must be 0 (off) or at least"},
      {"outlier_detection: {max_ejection_percent: 101}",
       "max_ejection_percent"},
      {"outlier_detection: {consecutive_errors: 3}", "consecutive_errors"},
      {"attempt_headers: {ignore: true, headers: [{name: a}]}",
       "ignore: headers are given too"},
      {"balancing: {decay_time: 0s}", "decay_time must be above 0"},
      {"balancing: {worker_choice: fastest}", "expected_wait|power_of_two"}};
  for (const auto& [yaml, text] : mistakes) {
    SCOPED_TRACE(yaml);
    const absl::Status status =
        ParseFrontendConfig(absl::StrCat(kOneModel, yaml, "\n"), "f.yaml")
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("f.yaml:3"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
}

TEST(FrontendConfigTest, HybridsGateMustBeAGate) {
  for (const absl::string_view gate :
       {"{open: 0.5, shut: 0.5}", "{window: 0s}"}) {
    EXPECT_THAT(
        ParseRedundancy(absl::StrCat("policy: hybrid, code: {scheme: sum, k: "
                                     "2}, hybrid: {gate: ",
                                     gate, "}")),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 AllOf(StartsWith("f.yaml:4: "), HasSubstr("gate: "))));
  }
}

TEST(FrontendConfigTest, HedgeNeedsNoNumbers) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig("workers: [{endpoint: \"ipc:///a\"}]\n"
                          "models: [{name: m, deadline: 80ms,\n"
                          "          redundancy: {policy: hedge}}]\n",
                          "f.yaml"));
  const core::ModelOptions& model = options.core.models[0];
  EXPECT_EQ(model.policy, core::PolicyKind::kHedge);
  EXPECT_EQ(model.hedge.quantile, 0.95);
  EXPECT_EQ(model.hedge.min, Milliseconds(1));
  EXPECT_EQ(model.hedge.max, Milliseconds(40));
  EXPECT_EQ(model.hedge.budget.max_extra_load, 0.10);
}

TEST(FrontendConfigTest, KeepsATriggerQuantileOfZero) {
  const std::string yaml =
      absl::StrReplaceAll(kFull, {{"quantile: 0.8", "quantile: 0"}});
  PARM_ASSERT_OK_AND_ASSIGN(const FrontendOptions options,
                            ParseFrontendConfig(yaml, "f.yaml"));
  EXPECT_EQ(options.core.models[0].decode.trigger_quantile, 0);
}

// Replacing `from` by `to` in a good file is an error on `line`.
struct Mistake {
  std::string from;
  std::string to;
  int line;
  std::string text;
};

void PrintTo(const Mistake& mistake, std::ostream* out) {
  *out << mistake.from << " -> " << mistake.to;
}

class FrontendConfigMistakeTest : public ::testing::TestWithParam<Mistake> {};

TEST_P(FrontendConfigMistakeTest, IsRefusedWithFileAndLine) {
  const Mistake& mistake = GetParam();
  const std::string yaml =
      absl::StrReplaceAll(kFull, {{mistake.from, mistake.to}});
  ASSERT_NE(yaml, kFull);
  EXPECT_THAT(
      ParseFrontendConfig(yaml, "f.yaml"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(StartsWith(absl::StrCat("f.yaml:", mistake.line, ":")),
                     HasSubstr(mistake.text))));
}

INSTANTIATE_TEST_SUITE_P(
    All, FrontendConfigMistakeTest,
    ::testing::Values(
        Mistake{"name: plain", "nam: plain", 28, "nam"},
        Mistake{"deadline: 400ms", "deadline: 400", 6, "deadline"},
        Mistake{"policy: coded", "policy: codid", 9, "codid"},
        Mistake{"tcp://10.0.0.1:7001", "udp://10.0.0.1:7001", 2,
                "want tcp://HOST:PORT"},
        Mistake{"tcp://10.0.0.1:7001", "tcp://10.0.0.1", 2,
                "want tcp://HOST:PORT"},
        Mistake{"tcp://10.0.0.1:7001", "tcp://10.0.0.1:70010", 2,
                "want tcp://HOST:PORT"},
        Mistake{"tcp://10.0.0.1:7001", "ipc:///tmp/w2", 3,
                "endpoint given twice"},
        Mistake{"name: plain", "name: fashion", 28, "model named twice"},
        Mistake{"deadline: 400ms", "deadline: 0ms", 6,
                "deadline must be above 0"},
        Mistake{"timeout: 2ms}", "timeout: 400ms}", 7, "batching.timeout"},
        Mistake{"      code: {scheme: sum, k: 3}\n", "", 9,
                "policy coded needs a code"},
        Mistake{"scheme: sum", "scheme: product", 11, "product"},
        Mistake{"k: 3", "k: 9", 11, "k"},
        Mistake{"timeout: 10ms", "timeout: 400ms", 12, "group.timeout"},
        Mistake{"min: 1ms", "min: 51ms", 14, "min is above max"},
        Mistake{"floor: 0.25", "floor: 0.76", 17,
                "floor is above min_confidence"},
        Mistake{"min_confidence: 0.75", "min_confidence: 1.5", 16,
                "min_confidence"},
        Mistake{"min_agreement: 0.8", "min_agreement: 1", 19, "min_agreement"},
        Mistake{"slack: 7ms", "slack: 400ms", 15, "slack must be below"},
        Mistake{"min: 2ms", "min: 0ms", 21, "min must be above 0"},
        Mistake{"min: 2ms", "min: 91ms", 21, "delay: min is above max"},
        Mistake{"max: 90ms", "max: 401ms", 21, "not be above the deadline"},
        Mistake{"max_extra_load: 0.1\n        min_per_second: 3",
                "max_extra_load: 0\n        min_per_second: 0", 22,
                "nothing would ever be hedged"},
        Mistake{"max_extra_load: 0.1", "max_extra_load: 1.1", 22,
                "max_extra_load"},
        Mistake{"values: [1, 2.5]", "values: []", 27, "needs values"},
        Mistake{"idle_timeout: 7s", "idle_timeout: 0s", 30,
                "idle_timeout must be above 0"},
        Mistake{"write_timeout: 8s", "write_timeout: 0s", 30,
                "write_timeout must be above 0"},
        Mistake{"read_timeout: 9s", "read_timeout: 0s", 30,
                "read_timeout must be above 0"},
        Mistake{"max_body_bytes: 2048", "max_body_bytes: 4294967296", 29,
                "max_body_bytes is too large: got 4294967296"},
        Mistake{"max_decompressed_bytes: 1026",
                "max_decompressed_bytes: 4294967296", 32,
                "max_decompressed_bytes is too large"},
        Mistake{"probe_interval: 20ms", "probe_interval: 0ms", 36,
                "probe_interval must be above 0"},
        // Workers decide how often they say that they live.
        Mistake{"probe_interval: 20ms", "heartbeat_interval: 50ms", 36,
                "heartbeat_interval"},
        Mistake{"heartbeat_timeout: 300ms", "heartbeat_timeout: 0s", 35,
                "heartbeat_timeout must be above 0"},
        Mistake{"heartbeat_timeout: 300ms", "resolve_interval: 0s", 35,
                "resolve_interval must be above 0"},
        Mistake{"heartbeat_timeout: 300ms", "timeout: 0s", 35,
                "timeout must be above 0 and at most 60s"},
        Mistake{"heartbeat_timeout: 300ms", "timeout: 60001ms", 35,
                "timeout must be above 0 and at most 60s"}));

TEST(FrontendConfigTest, RefusesMoreQueriesThanTheCoreCanNumber) {
  const std::string yaml = absl::StrReplaceAll(
      kFull, {{"k: 3", "k: 4"}, {"max_queries: 9", "max_queries: 1000000"}});
  EXPECT_THAT(ParseFrontendConfig(yaml, "f.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("f.yaml:33: "),
                             HasSubstr("max_queries is too large"))));
}

TEST(FrontendConfigTest, NeedsWorkersAndModels) {
  EXPECT_THAT(ParseFrontendConfig("workers: []\nmodels: [{name: m}]\n", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseFrontendConfig(
                  "workers: [{endpoint: \"ipc:///a\"}]\nmodels: []\n", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseFrontendConfig("", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FrontendConfigTest, ReadsAFile) {
  const ScratchDirectory directory;
  WriteFile(directory / "f.yaml", kFull);
  EXPECT_THAT(LoadFrontendConfig(directory / "f.yaml"), IsOk());
  EXPECT_THAT(LoadFrontendConfig(directory / "missing.yaml"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("missing.yaml")));
  EXPECT_THAT(
      LoadFrontendConfig(directory.path()),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("Is a directory")));
}

}  // namespace
}  // namespace parm
