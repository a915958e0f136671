#include "frontend/frontend_config.h"

#include <filesystem>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "frontend/workers_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/curve_keys.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/test_certificates.h"

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
  PARM_ASSERT_OK_AND_ASSIGN(
      options,
      ParseRedundancy(
          "policy: hybrid, code: {scheme: sum, k: 4}, hybrid: {max_extra_load: "
          "0.5, gate: {open: 0.1, shut: 0.2, window: 3s}, parity_cost: 2}"));
  const core::HybridOptions& hybrid = options.core.models[0].hybrid;
  EXPECT_EQ(hybrid.max_extra_load, 0.5);
  EXPECT_EQ(hybrid.gate.open, 0.1);
  EXPECT_EQ(hybrid.gate.shut, 0.2);
  EXPECT_EQ(hybrid.gate.window, Milliseconds(3000));
  EXPECT_EQ(hybrid.parity_cost, 2);
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
                "resolve_interval must be above 0"}));

// One worker, and these models.
std::string WithModels(const std::string& models) {
  return absl::StrCat("workers: [{endpoint: \"ipc:///a\"}]\nmodels:\n", models);
}

TEST(FrontendConfigTest, NumbersModelServersAfterWorkers) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig(
          "workers:\n"
          "  - {endpoint: \"http://10.0.0.9:8000/b\", server: mlserver,\n"
          "     lanes: 2,\n"
          "     fault_domain: rack, max_in_flight: 3, serves: [{name: b,\n"
          "     model: theirs, version: \"7\", bundle: bundles/b}]}\n"
          "  - {endpoint: \"tcp://h:1\"}\n"
          "  - {endpoint: \"http://10.0.0.9\"}\n"
          "models: [{name: a}, {name: b}]\n"
          "health: {heartbeat_timeout: 1s}\n"
          "limits: {feedback_horizon: 3s}\n",
          "/etc/f.yaml"));
  EXPECT_EQ(options.core.num_workers, 3U);
  ASSERT_EQ(options.upstream.workers.size(), 1U);
  EXPECT_EQ(options.oip.first_worker, 1U);
  EXPECT_THAT(options.catalog.fault_domains, ElementsAre("", "rack", ""));
  EXPECT_THAT(options.catalog.max_in_flight, ElementsAre(16, 3, 16));
  EXPECT_EQ(options.oip.heartbeat_interval, Milliseconds(200));
  EXPECT_EQ(options.oip.keep_late, Milliseconds(3000));
  ASSERT_EQ(options.oip.servers.size(), 2U);
  const OipServerOptions& full = options.oip.servers[0];
  EXPECT_EQ(full.url.port, 8000);
  EXPECT_EQ(full.url.base, "/b");
  EXPECT_EQ(full.kind, ServerKind::kMlserver);
  EXPECT_EQ(full.lanes, 2U);
  EXPECT_EQ(full.max_in_flight, 3U);
  ASSERT_EQ(full.serves.size(), 1U);
  EXPECT_EQ(full.serves[0].name, "b");
  EXPECT_EQ(full.serves[0].server_name, "theirs");
  EXPECT_EQ(full.serves[0].version, "7");
  EXPECT_EQ(full.serves[0].bundle, "/etc/bundles/b");
  // All models of the file, under their own names.
  const OipServerOptions& plain = options.oip.servers[1];
  EXPECT_EQ(plain.kind, ServerKind::kAuto);
  ASSERT_EQ(plain.serves.size(), 2U);
  EXPECT_EQ(plain.serves[1].server_name, "b");
  EXPECT_EQ(plain.serves[1].bundle, "");
}

TEST(FrontendConfigTest, TakesModelServersOverGrpc) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig("workers:\n"
                          "  - {endpoint: \"grpc://[::1]:8001\"}\n"
                          "  - {endpoint: \"grpc://h:1\", protocol: grpc,\n"
                          "     server: triton}\n"
                          "models: [{name: a}]\n",
                          "f.yaml"));
  ASSERT_EQ(options.oip.servers.size(), 2U);
  EXPECT_EQ(options.oip.servers[0].url.protocol, ServerProtocol::kGrpc);
  EXPECT_EQ(options.oip.servers[0].url.host, "::1");
  EXPECT_EQ(options.oip.servers[0].url.port, 8001);
  EXPECT_EQ(options.oip.servers[1].kind, ServerKind::kTriton);
}

TEST(FrontendConfigTest, KeepsPlacesForServersThatComeAndGo) {
  const ScratchDirectory directory;
  WriteFile(directory / "servers.txt", "http://10.0.0.1\nhttp://b\n");
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig(
          "workers:\n"
          "  - {endpoint: \"http://name:8000\", max_servers: 3,\n"
          "     fault_domain: rack}\n"
          "  - {endpoint: \"tcp://h:1\"}\n"
          "  - {endpoints_file: servers.txt, max_servers: 2, protocol: http,\n"
          "     max_in_flight: 5}\n"
          "  - {endpoint: \"http://[::1]:8000\"}\n"
          "  - {endpoint: \"http://other:8000\"}\n"
          "models: [{name: a}]\n"
          "health: {resolve_interval: 7s, bundle_check_interval: 0s}\n",
          directory / "f.yaml"));
  EXPECT_EQ(options.oip.resolve_interval, Milliseconds(7000));
  EXPECT_EQ(options.oip.bundle_check_interval, Duration{0});
  ASSERT_EQ(options.oip.servers.size(), 4U);
  const OipServerOptions& of_file = options.oip.servers[1];
  EXPECT_EQ(of_file.endpoints_file, directory / "servers.txt");
  EXPECT_EQ(of_file.protocol, ServerProtocol::kHttp);
  EXPECT_EQ(of_file.max_servers, 2U);
  EXPECT_EQ(options.oip.servers[3].max_servers, 64U);
  // Twice as many as may be there at once, for those on their way out.
  EXPECT_EQ(options.core.num_workers, 1 + 6 + 4 + 1 + 128U);
  ASSERT_EQ(options.catalog.fault_domains.size(), 140U);
  EXPECT_EQ(options.catalog.fault_domains[0], "");
  EXPECT_EQ(options.catalog.fault_domains[6], "rack");
  EXPECT_EQ(options.catalog.fault_domains[7], "");
  EXPECT_EQ(options.catalog.max_in_flight[7], 5U);
  EXPECT_EQ(options.catalog.max_in_flight[11], 16U);
  const std::vector<std::string> endpoints = EndpointsOf(options);
  ASSERT_EQ(endpoints.size(), 140U);
  EXPECT_EQ(endpoints[0], "tcp://h:1");
  EXPECT_EQ(endpoints[1], "http://name:8000");
  EXPECT_EQ(endpoints[2], "");
  EXPECT_EQ(endpoints[7], "") << "its lines join when it starts";
  EXPECT_EQ(endpoints[11], "http://[::1]:8000");
  EXPECT_EQ(endpoints[12], "http://other:8000");
}

TEST(FrontendConfigTest, RefusesFilesOfEndpointsThatMakeNoSense) {
  const ScratchDirectory directory;
  WriteFile(directory / "good.txt", "\nhttp://10.0.0.1\n");
  WriteFile(directory / "bad.txt", "# none\nnone\n");
  for (const auto& [workers, text] :
       {std::pair{"{endpoints_file: missing.txt}", "missing.txt"},
        {"{endpoints_file: bad.txt}", "bad.txt:2: got \"none\""},
        {"{endpoints_file: good.txt, protocol: grpc}",
         "good.txt:2: protocol differs"},
        {"{endpoints_file: good.txt}, {endpoint: \"http://10.0.0.1\"}",
         "good.txt:2: endpoint given twice"},
        {"{endpoints_file: good.txt, endpoint: \"http://10.0.0.2\"}",
         "f.yaml:1: endpoint and endpoints_file are both given"},
        {"{endpoints_file: good.txt, server_key: k}",
         "server_key is for parm-workers"},
        {"{endpoints_file: good.txt, endpoint_files: x}", "endpoint_files"},
        {"{max_servers: 3}", "endpoint: got \"\""},
        {"{endpoint: \"tcp://h:1\", max_servers: 3}",
         "max_servers is for http:// and grpc://"},
        {"{endpoint: \"http://10.0.0.2\", max_servers: 3}",
         "an address is one server"},
        {"{endpoint: \"http://h\", max_servers: 1025}", "max_servers"}}) {
    SCOPED_TRACE(workers);
    const absl::Status status =
        ParseFrontendConfig(
            absl::StrCat("workers: [", workers, "]\nmodels: [{name: a}]\n"),
            directory / "f.yaml")
            .status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.message(), HasSubstr(text));
  }
}

TEST(FrontendConfigTest, RefusesServersThatMakeNoSense) {
  for (const auto& [worker, text] :
       {std::pair{"endpoint: \"http://h:0\"", "f.yaml:1: endpoint: got"},
        {"endpoint: \"http://h\", server: tfserving", "tfserving"},
        {"endpoint: \"http://h\", serves: [{name: b}]", "not in this file: b"},
        {"endpoint: \"tcp://h:1\", server: triton",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"tcp://h:1\", lanes: 2",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"tcp://h:1\", serves: [{name: a}]",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"tcp://h:1\", protocol: grpc",
         "for http:// and grpc:// endpoints"},
        {"endpoint: \"grpc://h\"", "want http://HOST[:PORT][/BASE] or grpc"},
        {"endpoint: \"grpc://h:1/base\"", "f.yaml:1: endpoint: got"},
        {"endpoint: \"grpc://h:1\", protocol: http", "the endpoint says grpc"},
        {"endpoint: \"http://h:1\", protocol: grpc", "the endpoint says http"},
        {"endpoint: \"http://h:1\", protocol: zmq", "zmq"}}) {
    SCOPED_TRACE(worker);
    EXPECT_THAT(ParseFrontendConfig(absl::StrCat("workers: [{", worker,
                                                 "}]\nmodels: [{name: a}]\n"),
                                    "f.yaml"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
}

TEST(FrontendConfigTest, CapturesIntoADirectoryBesideTheFile) {
  const ScratchDirectory directory;
  std::filesystem::create_directory(directory / "captured");
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      ParseFrontendConfig(
          WithModels("  - {name: plain}\n"
                     "  - name: m\n"
                     "    capture: {directory: captured, max_queries: 5,\n"
                     "              max_bytes: 6, max_per_second: 0.5,\n"
                     "              sample: 0.25, seed: 7}\n"
                     "  - {name: n, capture: {directory: .}}\n"),
          directory / "f.yaml"));
  ASSERT_EQ(options.captures.size(), 3U);
  EXPECT_EQ(options.captures[0].options.directory, "");
  const CaptureOptions& capture = options.captures[1].options;
  EXPECT_EQ(options.captures[1].name, "m");
  EXPECT_EQ(capture.directory,
            std::filesystem::canonical(directory / "captured"));
  EXPECT_EQ(capture.max_queries, 5U);
  EXPECT_EQ(capture.max_bytes, 6U);
  EXPECT_EQ(capture.max_per_second, 0.5);
  EXPECT_EQ(capture.sample, 0.25);
  EXPECT_EQ(capture.seed, 7U);
  EXPECT_EQ(options.captures[2].options.max_queries, 10'000U);
  EXPECT_EQ(options.captures[2].options.sample, 0.01);
}

TEST(FrontendConfigTest, RefusesCapturesThatCouldNotWrite) {
  const ScratchDirectory directory;
  std::filesystem::create_directory(directory / "captured");
  for (const auto& [section, text] :
       std::vector<std::pair<std::string, std::string>>{
           {"{directory: missing}", "No such file or directory"},
           {"{directory: captured/../f.yaml}", "capture directory"},
           {"{directory: ./captured}", "capture directory given twice"},
           {"{max_queries: 5}", "directory"},
           {"{directory: captured, sample: 0}", "sample"},
           {"{directory: captured, sample: 1.5}", "sample"},
           {"{directory: captured, max_bytes: 0}", "max_bytes"},
           {"{directory: captured, rate: 5}", "rate"}}) {
    const std::string file = directory / "f.yaml";
    EXPECT_THAT(ParseFrontendConfig(
                    WithModels(absl::StrCat(
                        "  - {name: l, capture: {directory: captured}}\n"
                        "  - name: m\n    capture: ",
                        section, "\n")),
                    file),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(StartsWith(absl::StrCat(file, ":5: ")),
                               HasSubstr(text))))
        << section;
  }
}

TEST(FrontendConfigTest, ReadsCertificatesBesideTheFile) {
  const ScratchDirectory scratch;
  const TestAuthority authority(scratch.path(), "authority");
  authority.Sign("server");
  const std::string file = scratch / "f.yaml";
  const auto parse = [&](const std::string& sections) {
    return ParseFrontendConfig(
        absl::StrCat("workers: [{endpoint: \"tcp://a:1\"}]\n"
                     "models: [{name: m}]\n",
                     sections),
        file);
  };
  const std::string own =
      "certificate_chain: server.pem, private_key: "
      "server.key";
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      parse("http: {tls: {" + own +
            ", client_ca: authority.pem, client_certificates: optional}}\n"
            "grpc: {tls: {" +
            own + ", handshake_timeout: 2s}}\n"));
  ASSERT_TRUE(options.tls.http.identity.has_value());
  EXPECT_EQ(options.tls.http.identity->private_key,
            ReadFile(scratch / "server.key"));
  EXPECT_FALSE(options.tls.http.identity->require_client_certificate);
  EXPECT_EQ(options.tls.http.handshake_timeout, Milliseconds(10'000));
  ASSERT_TRUE(options.tls.grpc.identity.has_value());
  EXPECT_EQ(options.tls.grpc.identity->client_ca, "");
  EXPECT_EQ(options.tls.grpc.handshake_timeout, Milliseconds(2000));

  for (const auto& [keys, want] :
       {std::pair{"certificate_chain: server.pem", "private_key"},  // required
        std::pair{", client_certificates: require", "needs client_ca"},
        std::pair{", client_certificates: maybe", "client_certificates"},
        std::pair{", handshake_timeout: 0s", "must be 1ms or more"},
        std::pair{", client_ca: none.pem", "client_ca: cannot be read"}}) {
    const std::string text = *keys == ',' ? own + keys : std::string(keys);
    EXPECT_THAT(parse("grpc:\n  tls: {" + text + "}\n"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(StartsWith(file + ":4: "), HasSubstr(want))));
  }
}

TEST(FrontendConfigTest, GivesEveryWorkerAServerKey) {
  const ScratchDirectory scratch;
  for (const char* const name : {"own", "common", "special"}) {
    ASSERT_THAT(MakeCurveKeys(scratch / name), IsOk());
  }
  const auto parse = [&](const std::string& second, const std::string& curve) {
    return ParseFrontendConfig(
        absl::StrCat("workers:\n  - {endpoint: \"tcp://a:1\"}\n  - {", second,
                     "}\nmodels: [{name: m}]\n", curve, "\n"),
        scratch / "f.yaml");
  };
  const std::string special =
      "endpoint: \"tcp://a:2\", server_key: special.pub";
  PARM_ASSERT_OK_AND_ASSIGN(
      const FrontendOptions options,
      parse(special, "curve: {secret_key: own, server_key: common.pub}"));
  PARM_ASSERT_OK_AND_ASSIGN(const CurveKeys own,
                            LoadCurveKeys(scratch / "own"));
  EXPECT_EQ(options.upstream.keys.secret_key, own.secret_key);
  EXPECT_EQ(options.upstream.keys.public_key, own.public_key);
  PARM_ASSERT_OK_AND_ASSIGN(const std::string common,
                            LoadCurveKey(scratch / "common.pub"));
  PARM_ASSERT_OK_AND_ASSIGN(const std::string other,
                            LoadCurveKey(scratch / "special.pub"));
  EXPECT_EQ(options.upstream.workers[0].server_key, common);
  EXPECT_EQ(options.upstream.workers[1].server_key, other);

  struct WrongKeys {
    std::string second;
    const char* curve;
    int line;
    const char* want;
  };
  for (const WrongKeys& wrong :
       {WrongKeys{special, "", 3, "server_key needs a section curve"},
        WrongKeys{special, "curve: {secret_key: own}", 2, "no server_key"},
        WrongKeys{special, "curve: {secret_key: none, server_key: common.pub}",
                  5, "cannot be read"},
        WrongKeys{special, "curve: {secret_key: own, server_key: f.yaml}", 5,
                  "cannot be read"},
        WrongKeys{"endpoint: \"http://a:2\", server_key: special.pub",
                  "curve: {secret_key: own, server_key: common.pub}", 3,
                  "server_key is for parm-workers"}}) {
    EXPECT_THAT(
        parse(wrong.second, wrong.curve),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 AllOf(HasSubstr(absl::StrCat("f.yaml:", wrong.line, ": ")),
                       HasSubstr(wrong.want))));
  }
}

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
