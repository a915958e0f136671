#include "experiments/sim/candidate.h"

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm::sim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kHead[] =
    "workers:\n"
    "  - {endpoint: \"tcp://127.0.0.1:7001\", max_in_flight: 3}\n"
    "models:\n";
constexpr char kCoded[] =
    "  - name: m\n"
    "    redundancy: {policy: coded, code: {scheme: sum, k: 2}}\n";

class CandidateTest : public ::testing::Test {
 protected:
  absl::StatusOr<Candidate> Read(const std::string& models) {
    const std::string path = scratch_ / "policy.yaml";
    std::ofstream(path) << kHead << models;
    return ReadCandidate(path);
  }

  static LoadScenario Scenario24() {
    return {.name = "s",
            .file = "s.yaml",
            .workers_line = 7,
            .policies_line = 8,
            .pace = {.service = Milliseconds(20),
                     .per_extra_sample = Milliseconds(10)}};
  }

 private:
  ScratchDirectory scratch_;
};

TEST_F(CandidateTest, ReadsAFrontendsConfiguration) {
  PARM_ASSERT_OK_AND_ASSIGN(const Candidate candidate, Read(kCoded));
  EXPECT_EQ(candidate.policy, "policy");
  EXPECT_EQ(candidate.max_in_flight, 3U);
  EXPECT_EQ(candidate.model().policy, core::PolicyKind::kCoded);
  ASSERT_TRUE(LabelOf(candidate).has_value());
  EXPECT_EQ(LabelOf(candidate)->scheme, "sum");
  EXPECT_EQ(LabelOf(candidate)->k, 2);
}

TEST_F(CandidateTest, PassesOnWhatTheFrontendRefuses) {
  EXPECT_THAT(
      Read("  - {name: m, redundancy: {policy: coded}}\n"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("policy.yaml:4:"), HasSubstr("needs a code"))));
  EXPECT_THAT(Read("  - {name: a}\n  - {name: b}\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("drives one model: got 2")));
  EXPECT_THAT(Read("  - {name: m, redundancy: {policy: coded, units: ["
                   "{scheme: sum, k: 2}, {scheme: sum, k: 3}]}}\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no bundles to choose units by: got 2")));
  EXPECT_THAT(ReadCandidate("/nowhere.yaml"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(CandidateTest, FindsPoliciesBesideTheScenarios) {
  const LoadScenario scenario = {.file = "x/scenarios/s.yaml"};
  EXPECT_EQ(CandidatePath(scenario, "none"), "x/policies/none.yaml");
  EXPECT_EQ(CandidatePath(scenario, "./mine.yaml"), "./mine.yaml");
}

TEST_F(CandidateTest, GivesEveryPolicyTheSameWorkers) {
  PARM_ASSERT_OK_AND_ASSIGN(const Candidate coded, Read(kCoded));
  PARM_ASSERT_OK_AND_ASSIGN(const Candidate none, Read("  - {name: m}\n"));
  EXPECT_EQ(NumParityWorkers(coded, 24), 8U);
  EXPECT_EQ(NumParityWorkers(coded, 3), 1U);
  EXPECT_EQ(NumParityWorkers(none, 24), 0U);
  for (const Candidate* candidate : {&coded, &none}) {
    PARM_ASSERT_OK_AND_ASSIGN(const Scenario world,
                              MakeWorld(Scenario24(), *candidate, 1));
    EXPECT_EQ(world.workers.size(), 24U);
    int deployed = 0;
    for (const SimWorkerSpec& worker : world.workers) {
      EXPECT_EQ(worker.bundles.size(), 1U);
      EXPECT_EQ(worker.max_in_flight, 3U);
      if (ServesDeployed(worker)) ++deployed;
    }
    EXPECT_EQ(deployed, candidate == &coded ? 16 : 24);
  }
}

TEST_F(CandidateTest, SpreadsParityWorkersOverFaultDomains) {
  PARM_ASSERT_OK_AND_ASSIGN(const Candidate coded, Read(kCoded));
  PARM_ASSERT_OK_AND_ASSIGN(const Scenario world,
                            MakeWorld(Scenario24(), coded, 1));
  std::vector<int> in_domain(4);
  for (const SimWorkerSpec& worker : world.workers) {
    if (!ServesDeployed(worker)) ++in_domain[worker.fault_domain];
  }
  EXPECT_THAT(in_domain, ::testing::Each(2));
}

TEST_F(CandidateTest, TakesAUnitsFiguresFromTheScenario) {
  PARM_ASSERT_OK_AND_ASSIGN(const Candidate coded, Read(kCoded));
  LoadScenario scenario = Scenario24();
  EXPECT_EQ(UnitOf(scenario, coded).accuracy, std::nullopt);
  EXPECT_EQ(UnitOf(scenario, coded).cost, 1);
  scenario.units = {{.scheme = "sum", .k = 3, .accuracy = 0.1},
                    {.scheme = "sum", .k = 2, .accuracy = 0.8, .cost = 0.5}};
  EXPECT_EQ(UnitOf(scenario, coded).accuracy, 0.8);
  EXPECT_EQ(UnitOf(scenario, coded).cost, 0.5);
  PARM_ASSERT_OK_AND_ASSIGN(
      const Candidate pack,
      Read("  - name: m\n"
           "    redundancy: {policy: coded, code: {scheme: pack, k: 3}}\n"));
  EXPECT_EQ(UnitOf(scenario, pack).cost, 2);  // 20 + 10 + 10 ms
}

TEST_F(CandidateTest, WantsTheFiguresOfABackup) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const Candidate backup,
      Read("  - name: m\n"
           "    redundancy: {policy: backup, code: {scheme: pack, k: 4}}\n"));
  LoadScenario scenario = Scenario24();
  EXPECT_THAT(MakeWorld(scenario, backup, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("s.yaml:8: policy policy has no backup "
                                 "model: units states no cost of ")));
  scenario.units = {{.scheme = "pack", .k = 4, .cost = 0.9}};
  EXPECT_THAT(MakeWorld(scenario, backup, 1), IsOk());
}

TEST_F(CandidateTest, NamesTheLineOfAnImpossibleWorld) {
  PARM_ASSERT_OK_AND_ASSIGN(const Candidate coded, Read(kCoded));
  LoadScenario scenario = Scenario24();
  scenario.num_workers = 2;
  EXPECT_THAT(MakeWorld(scenario, coded, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "s.yaml:7: workers: got 2, want at least k + r = 3 for "
                       "policy policy"));
  scenario = Scenario24();
  scenario.pace.service = Milliseconds(500);
  EXPECT_THAT(MakeWorld(scenario, coded, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("s.yaml:8: policy policy has a deadline")));
}

}  // namespace
}  // namespace parm::sim
