#include "proto/strict_yaml.h"

#include <cmath>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "proto/bundle.pb.h"
#include "proto/config.pb.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::Status ParseFrontend(const std::string& yaml) {
  config::FrontendConfig config;
  return ParseStrictYaml(yaml, "f.yaml", &config);
}

// `yaml` of a model, in a configuration that is fine otherwise; its first line
// is line 3.
absl::Status ParseModel(const std::string& yaml) {
  return ParseFrontend(
      absl::StrCat("workers: [{endpoint: a}]\nmodels:\n- ", yaml));
}

auto Refused(const std::string& message) {
  return StatusIs(absl::StatusCode::kInvalidArgument, message);
}

TEST(StrictYamlTest, ReadsEveryFieldOfAFrontendConfiguration) {
  config::FrontendConfig config;
  ASSERT_THAT(ParseStrictYaml(R"(
workers:
  - {endpoint: "tcp://10.0.0.1:7001", max_in_flight: 4}
  - endpoint: ipc:///tmp/w2
    fault_domain: rack2
models:
  - name: fashion   # a comment
    deadline: 500ms
    redundancy:
      policy: coded
      code: {scheme: sum, k: 2, r: 1}
      decode: {trigger: {quantile: 0.90}, min_confidence: 0}
    default_answer: {values: [0.5, -1, 3e2]}
limits:
  max_buffered_bytes: 18446744073709551615
)",
                              "f.yaml", &config),
              IsOk());
  ASSERT_EQ(config.workers_size(), 2);
  EXPECT_EQ(config.workers(0).endpoint(), "tcp://10.0.0.1:7001");
  EXPECT_EQ(config.workers(0).max_in_flight(), 4U);
  EXPECT_EQ(config.workers(1).fault_domain(), "rack2");
  const config::Model& model = config.models(0);
  EXPECT_EQ(model.deadline(), "500ms");
  EXPECT_EQ(model.redundancy().code().k(), 2U);
  EXPECT_DOUBLE_EQ(model.redundancy().decode().trigger().quantile(), 0.9);
  // Given as 0 is not the same as not given.
  EXPECT_TRUE(model.redundancy().decode().has_min_confidence());
  EXPECT_FALSE(model.redundancy().decode().has_floor());
  ASSERT_EQ(model.default_answer().values_size(), 3);
  EXPECT_FLOAT_EQ(model.default_answer().values(2), 300.0F);
  EXPECT_EQ(config.limits().max_buffered_bytes(), UINT64_MAX);
}

TEST(StrictYamlTest, ReadsNegativeShapesAndWholeNumbersAsDoubles) {
  bundle::Manifest manifest;
  ASSERT_THAT(ParseStrictYaml("inputs:\n- {name: x, datatype: FP32, "
                              "shape: [-1, 784]}\nmeasured: {a_a: 1}\n",
                              "bundle.yaml", &manifest),
              IsOk());
  EXPECT_EQ(manifest.inputs(0).shape(0), -1);
  EXPECT_DOUBLE_EQ(manifest.measured().a_a(), 1.0);
}

TEST(StrictYamlTest, EmptyTextLeavesAMessageWithoutFields) {
  for (const char* yaml : {"", "\n", "# nothing\n", "---\n", "{}"}) {
    SCOPED_TRACE(yaml);
    bundle::Manifest manifest;
    manifest.set_model("of an earlier parse");
    EXPECT_THAT(ParseStrictYaml(yaml, "bundle.yaml", &manifest), IsOk());
    EXPECT_EQ(manifest.ByteSizeLong(), 0U);
  }
}

TEST(StrictYamlTest, RefusesAnUnknownKeyAndNamesTheNearest) {
  EXPECT_THAT(ParseFrontend("\nworker: []\n"),
              Refused("f.yaml:2: unknown key \"worker\": did you mean "
                      "\"workers\"?"));
  EXPECT_THAT(ParseModel("{name: a,\n   dead-line: 5ms}"),
              Refused("f.yaml:4: models[0]: unknown key \"dead-line\": did "
                      "you mean \"deadline\"?"));
}

TEST(StrictYamlTest, ListsAllKeysWhenNoneIsNear) {
  EXPECT_THAT(ParseModel("{name: a, redundancy: {group: {colour: red}}}"),
              Refused("f.yaml:3: models[0].redundancy.group: unknown key "
                      "\"colour\": expected one of timeout, short_group"));
  EXPECT_THAT(ParseFrontend(absl::StrCat(std::string(500, 'k'), ": 1")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("kkk...\": expected one of workers, ")));
}

TEST(StrictYamlTest, RefusesARepeatedKeyWithBothLines) {
  EXPECT_THAT(ParseModel("name: a\n  deadline: 5ms\n  name: b"),
              Refused("f.yaml:5: models[0].name: repeated key, first on "
                      "line 3"));
}

TEST(StrictYamlTest, RefusesValuesOfAnotherKind) {
  EXPECT_THAT(ParseFrontend("workers: tcp://h:1"),
              Refused("f.yaml:1: workers: expected a list, got "
                      "\"tcp://h:1\""));
  EXPECT_THAT(ParseFrontend("workers:\n- tcp://h:1"),
              Refused("f.yaml:2: workers[0]: expected a map, got "
                      "\"tcp://h:1\""));
  EXPECT_THAT(ParseFrontend("workers:\nmodels: []"),
              Refused("f.yaml:1: workers: expected a list, got nothing"));
  EXPECT_THAT(ParseModel("name: [a]"),
              Refused("f.yaml:3: models[0].name: expected text, got a list"));
  EXPECT_THAT(ParseModel("name: ~"),
              Refused("f.yaml:3: models[0].name: expected text, got nothing"));
  EXPECT_THAT(ParseModel("name: a\n  deadline: {ms: 5}"),
              Refused("f.yaml:4: models[0].deadline: expected text, got a "
                      "map"));
  EXPECT_THAT(ParseFrontend("- a\n- b"),
              Refused("f.yaml:1: expected a map, got a list"));
}

TEST(StrictYamlTest, RefusesTextThatIsNoWholeNumber) {
  for (const char* value : {"four", "4.0", "4e0", "0x4", "-4", "+4", "4 000",
                            "4_000", "4294967296", "true"}) {
    SCOPED_TRACE(value);
    EXPECT_THAT(ParseFrontend(absl::StrCat(
                    "workers:\n- {endpoint: a, max_in_flight: ", value, "}")),
                Refused(absl::StrCat(
                    "f.yaml:2: workers[0].max_in_flight: expected a whole "
                    "number, not negative, got \"",
                    value, "\"")));
  }
  EXPECT_THAT(ParseFrontend("workers:\n- {endpoint: a, max_in_flight: \"4\"}"),
              Refused("f.yaml:2: workers[0].max_in_flight: expected a whole "
                      "number, not negative, got text \"4\""));
}

TEST(StrictYamlTest, RefusesTextThatIsNoFiniteNumber) {
  for (const char* value : {"half", "0,5", ".nan", "nan", ".inf", "inf",
                            "1e999", "0x1p3", "0.5.1"}) {
    SCOPED_TRACE(value);
    bundle::Manifest manifest;
    EXPECT_THAT(
        ParseStrictYaml(absl::StrCat("measured:\n  a_a: ", value), "b.yaml",
                        &manifest),
        Refused(absl::StrCat(
            "b.yaml:2: measured.a_a: expected a number, got \"", value, "\"")));
  }
}

TEST(StrictYamlTest, RefusesNumbersOutsideTheirRange) {
  EXPECT_THAT(ParseFrontend("workers:\n- {endpoint: a, max_in_flight: 0}"),
              Refused("f.yaml:2: workers[0].max_in_flight: expected at least "
                      "1, got 0"));
  EXPECT_THAT(ParseFrontend("workers:\n- {endpoint: a, max_in_flight: 10001}"),
              Refused("f.yaml:2: workers[0].max_in_flight: expected at most "
                      "10000, got 10001"));
  EXPECT_THAT(
      ParseModel("{name: a, redundancy: {decode: {min_confidence: 1.01}}}"),
      Refused("f.yaml:3: models[0].redundancy.decode.min_confidence: expected "
              "at most 1, got 1.01"));
}

TEST(StrictYamlTest, RefusesDurationsAndChoicesOutsideTheSchema) {
  EXPECT_THAT(ParseModel("{name: a, deadline: 500}"),
              Refused("f.yaml:3: models[0].deadline: expected a duration such "
                      "as 500ms (units ns, us, ms, s; at most 1 hour), got "
                      "\"500\""));
  EXPECT_THAT(ParseModel("{name: a, redundancy: {mode: watch}}"),
              Refused("f.yaml:3: models[0].redundancy.mode: expected one of "
                      "act|observe, got \"watch\""));
}

TEST(StrictYamlTest, RefusesTextThatIsNotUtf8) {
  EXPECT_THAT(ParseModel("name: \xff"),
              Refused("f.yaml:3: models[0].name: expected text in UTF-8, got "
                      "other bytes"));
  EXPECT_THAT(ParseModel("name: a # \xff in a comment"), IsOk());
}

TEST(StrictYamlTest, RefusesAMissingOrEmptyRequiredField) {
  EXPECT_THAT(ParseFrontend("models: []"),
              Refused("f.yaml:1: models: expected at least one entry, got "
                      "none"));
  EXPECT_THAT(ParseFrontend("workers:\n- endpoint: a"),
              Refused("f.yaml:1: models: missing, and required"));
  EXPECT_THAT(ParseModel("name: \"\""),
              Refused("f.yaml:3: models[0].name: expected text, got an empty "
                      "one"));
  EXPECT_THAT(ParseModel("name: a\n  redundancy:\n    code: {k: 2}"),
              Refused("f.yaml:5: models[0].redundancy.code.scheme: missing, "
                      "and required"));
}

TEST(StrictYamlTest, RefusesBrokenYamlWithItsLine) {
  EXPECT_THAT(
      ParseFrontend("workers:\n  - {endpoint: a\n"),
      StatusIs(absl::StatusCode::kInvalidArgument, StartsWith("f.yaml:")));
  EXPECT_THAT(ParseFrontend("a: 1\n  b: 2"),
              Refused("f.yaml:2: broken YAML: illegal map value"));
  EXPECT_THAT(
      ParseFrontend("workers: \"open"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("broken YAML")));
}

TEST(StrictYamlTest, RefusesAliasesTagsAndSecondDocuments) {
  EXPECT_THAT(ParseFrontend("workers: &w\n- {endpoint: a}\nmodels: *w"),
              Refused("f.yaml:3: aliases are not supported"));
  EXPECT_THAT(ParseFrontend("workers: !!seq []"),
              Refused("f.yaml:1: tags are not supported"));
  EXPECT_THAT(ParseFrontend("workers: !mine text"),
              Refused("f.yaml:1: tags are not supported"));
  EXPECT_THAT(ParseFrontend("workers: []\n---\nmodels: []"),
              Refused("f.yaml:2: expected one document, got another"));
  EXPECT_THAT(ParseFrontend("---\n---\n"),
              Refused("f.yaml:2: expected one document, got another"));
  EXPECT_THAT(ParseFrontend("{[a]: b}"), Refused("f.yaml:1: a key must be "
                                                 "text"));
}

TEST(StrictYamlTest, StaysSmallUnderAnAliasBomb) {
  std::string yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    absl::StrAppend(&yaml, "a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) absl::StrAppend(&yaml, "*a", i - 1, ", ");
    absl::StrAppend(&yaml, "]\n");
  }
  EXPECT_THAT(ParseFrontend(yaml),
              Refused("f.yaml:2: aliases are not supported"));
}

TEST(StrictYamlTest, RefusesNestingDeeperThanThirtyTwo) {
  const auto nested = [](size_t depth) {
    return absl::StrCat("workers: ", std::string(depth, '['),
                        std::string(depth, ']'));
  };
  // The map around it is one level too.
  EXPECT_THAT(ParseFrontend(nested(31)),
              Refused("f.yaml:1: workers[0]: expected a map, got a list"));
  EXPECT_THAT(ParseFrontend(nested(32)),
              Refused("f.yaml:1: nested deeper than 32"));
  EXPECT_THAT(ParseFrontend(nested(100000)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(StrictYamlTest, TellsTheLineOfEveryKey) {
  config::FrontendConfig config;
  YamlLines lines;
  ASSERT_THAT(
      ParseStrictYaml("workers:\n- endpoint: a\n- endpoint: b\nmodels:\n"
                      "- name: m\n  redundancy:\n    policy: none\n",
                      "f.yaml", &config, &lines),
      IsOk());
  EXPECT_EQ(lines.at("workers"), 1);
  EXPECT_EQ(lines.at("workers[1]"), 3);
  EXPECT_EQ(lines.at("workers[1].endpoint"), 3);
  EXPECT_EQ(lines.at("models[0].redundancy.policy"), 7);
}

TEST(StrictYamlTest, LoadsAFileUnderItsOwnName) {
  const ScratchDirectory scratch;
  const std::string path = scratch / "w.yaml";
  WriteFile(path, "id: w1\nbind: tcp://127.0.0.1:0\nbundles: [{path: b}]\n");
  config::WorkerConfig config;
  EXPECT_THAT(LoadStrictYaml(path, &config), IsOk());
  EXPECT_EQ(config.id(), "w1");
  WriteFile(path, "id: w1\nlanes: 0\n");
  EXPECT_THAT(LoadStrictYaml(path, &config),
              Refused(path + ":2: lanes: expected at least 1, got 0"));
}

TEST(StrictYamlTest, FileThatCannotBeReadIsNotFound) {
  const ScratchDirectory scratch;
  config::WorkerConfig config;
  EXPECT_THAT(LoadStrictYaml(scratch / "absent.yaml", &config),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent.yaml")));
  EXPECT_THAT(LoadStrictYaml(scratch.path(), &config),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(StrictYamlTest, RefusesAFileAboveFourMebibytes) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "big.yaml", std::string((4 << 20) + 1, '#'));
  config::WorkerConfig config;
  EXPECT_THAT(
      LoadStrictYaml(scratch / "big.yaml", &config),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too large")));
}

// Text that a plain writer would turn into something else.
constexpr const char* kUglyTexts[] = {"",
                                      "null",
                                      "~",
                                      "true",
                                      "5",
                                      "- a",
                                      "a: b",
                                      "#x",
                                      "a #b",
                                      " lead",
                                      "trail ",
                                      "\"q\"",
                                      "it's",
                                      "back\\slash",
                                      "[a, b",
                                      "{",
                                      "&a",
                                      "*a",
                                      "!t",
                                      "|",
                                      ">",
                                      "%d",
                                      "@x",
                                      "`",
                                      "line\nfeed",
                                      "tab\tbed",
                                      "---",
                                      "...",
                                      "tcp://127.0.0.1:0",
                                      "naïve — ünïcode",
                                      "?",
                                      "y",
                                      ": ",
                                      "a,b",
                                      "cr\rlf",
                                      "\x04 ends a stream",
                                      "\x7f",
                                      "\x01"};

TEST(StrictYamlTest, WrittenTextReadsBackEqual) {
  for (const char* text : kUglyTexts) {
    SCOPED_TRACE(text);
    bundle::Manifest manifest;
    manifest.set_model(text);
    manifest.add_inputs()->set_name(text);
    const std::string yaml = WriteYaml(manifest);
    SCOPED_TRACE(yaml);
    bundle::Manifest read;
    ASSERT_THAT(ParseStrictYaml(yaml, "w.yaml", &read), IsOk());
    EXPECT_TRUE(MessageDifferencer::Equals(read, manifest));
  }
}

TEST(StrictYamlTest, WrittenNumbersReadBackEqual) {
  constexpr uint32_t kSeed = 20190519;
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937_64 random(kSeed);
  std::uniform_real_distribution<double> exponent(-300, 300);
  for (int i = 0; i < 200; ++i) {
    bundle::Manifest manifest;
    manifest.mutable_measured()->set_a_a(std::pow(10.0, exponent(random)) *
                                         (i % 2 == 0 ? 1 : -1));
    manifest.mutable_training()->set_seed(random());
    manifest.mutable_training()->set_epochs(static_cast<int64_t>(random()));
    manifest.add_inputs()->add_shape(static_cast<int64_t>(random()));
    manifest.mutable_inputs(0)->add_shape(-1);
    config::DefaultAnswer answer;
    answer.add_values(static_cast<float>(exponent(random)));
    answer.add_values(-0.1F);
    bundle::Manifest read;
    ASSERT_THAT(ParseStrictYaml(WriteYaml(manifest), "w.yaml", &read), IsOk());
    EXPECT_TRUE(MessageDifferencer::Equals(read, manifest));
    config::DefaultAnswer read_answer;
    ASSERT_THAT(ParseStrictYaml(WriteYaml(answer), "w.yaml", &read_answer),
                IsOk());
    EXPECT_TRUE(MessageDifferencer::Equals(read_answer, answer));
  }
}

TEST(StrictYamlTest, WrittenNestingReadsBackEqual) {
  config::WorkerConfig config;
  config.set_id("w1");
  config.set_bind("tcp://127.0.0.1:0");
  config.add_bundles()->set_path("b");
  config.mutable_bundles(0)->mutable_pace()->set_service("20ms");
  config.add_bundles()->set_path("c");
  config::FaultEvent* event = config.mutable_faults()->add_events();
  event->mutable_slow_jobs()->set_factor(10);
  config.mutable_faults()->add_events();  // all defaults
  config.mutable_faults()->add_events()->mutable_slow_mode();
  const std::string yaml = WriteYaml(config);
  SCOPED_TRACE(yaml);
  config::WorkerConfig read;
  ASSERT_THAT(ParseStrictYaml(yaml, "w.yaml", &read), IsOk());
  EXPECT_TRUE(MessageDifferencer::Equals(read, config));
}

}  // namespace
}  // namespace parm
