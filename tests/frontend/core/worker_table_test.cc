#include "frontend/core/worker_table.h"

#include <array>
#include <memory>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace parm::core {
namespace {

constexpr ModelId kModel{0};
constexpr BundleKey kDeployed{1};
constexpr BundleKey kParity{2};

class WorkerTableTest : public ::testing::Test {
 protected:
  WorkerTableTest() : table(8) {}

  Worker& Up(uint32_t index, uint32_t domain = 0, uint32_t lanes = 1,
             uint32_t max_in_flight = 4,
             std::vector<ServedBundle> bundles = {
                 {kDeployed, kModel, BundleRole::kDeployed, kDeployed}}) {
    Worker& worker = table.at(WorkerId{index});
    table.SetServed(worker, {.worker = worker.id,
                             .nonce = 1,
                             .fault_domain = domain,
                             .lanes = lanes,
                             .max_in_flight = max_in_flight,
                             .bundles = bundles});
    table.SetState(worker, WorkerState::kAlive);
    return worker;
  }
  static void Load(Worker& worker, uint32_t tasks) {
    worker.outstanding += tasks;
    worker.outstanding_samples += tasks;
    WorkerTable::Recount(worker);
  }
  static void Drain(Worker& worker) {
    worker.draining = true;
    WorkerTable::Recount(worker);
  }
  Worker* Pick(const WorkerTable::PickOptions& pick = {}) {
    return table.Pick(*table.Find(kDeployed), pick);
  }
  // A group with one member that went to this worker.
  void PutMemberAt(uint32_t worker) {
    member.worker = WorkerId{worker};
    group.members[0] = &member;
    group.num_members = 1;
  }

  WorkerTable table;
  Batch member;
  Group group;
};

TEST_F(WorkerTableTest, LeastOutstandingWorkerIsPicked) {
  Load(Up(0), 2);
  Load(Up(1), 1);
  Load(Up(2), 3);
  EXPECT_EQ(Pick()->id, WorkerId{1});
}

TEST_F(WorkerTableTest, WorkIsCountedPerLane) {
  Load(Up(0, 0, /*lanes=*/1), 2);
  Load(Up(1, 0, /*lanes=*/4, /*max_in_flight=*/8), 4);
  EXPECT_EQ(Pick()->id, WorkerId{1});
}

TEST_F(WorkerTableTest, TiesGoRound) {
  for (uint32_t i = 0; i < 4; ++i) Up(i);
  std::set<WorkerId> seen;
  for (int i = 0; i < 4; ++i) seen.insert(Pick()->id);
  EXPECT_EQ(seen.size(), 4U);
}

// How often each of four workers with 0, 1, 2 and 3 tasks is picked, in 400.
std::array<int, 4> PicksBy(WorkerChoice choice) {
  WorkerTable table(4, {.choice = choice});
  for (uint32_t i = 0; i < 4; ++i) {
    Worker& worker = table.at(WorkerId{i});
    const std::vector<ServedBundle> bundles = {
        {kDeployed, kModel, BundleRole::kDeployed, kDeployed}};
    table.SetServed(
        worker, {.worker = worker.id, .max_in_flight = 9, .bundles = bundles});
    worker.state = WorkerState::kAlive;
    worker.outstanding = i;
    worker.outstanding_samples = i;
  }
  std::array<int, 4> picks{};
  for (int i = 0; i < 400; ++i) {
    ++picks[Raw(table.Pick(*table.Find(kDeployed), {})->id)];
  }
  return picks;
}

TEST(WorkerChoiceTest, RoundRobinTakesNoLookAtLoad) {
  EXPECT_EQ(PicksBy(WorkerChoice::kRoundRobin),
            (std::array{100, 100, 100, 100}));
}

TEST(WorkerChoiceTest, PowerOfTwoTakesTheBetterOfTwo) {
  const std::array<int, 4> picks = PicksBy(WorkerChoice::kPowerOfTwoChoices);
  // Of six pairs the four workers win three, two, one and none.
  EXPECT_NEAR(picks[0], 200, 40);
  EXPECT_NEAR(picks[1], 133, 40);
  EXPECT_NEAR(picks[2], 67, 40);
  EXPECT_EQ(picks[3], 0);
}

TEST(WorkerChoiceTest, ExpectedWaitTakesTheIdleOne) {
  EXPECT_EQ(PicksBy(WorkerChoice::kExpectedWait), (std::array{400, 0, 0, 0}));
}

TEST_F(WorkerTableTest, PeakEwmaWeighsTimeByLoad) {
  constexpr Duration kDecay = Milliseconds(1000);
  WorkerTable ewma(8,
                   {.choice = WorkerChoice::kPeakEwma, .decay_time = kDecay});
  const Time start = Time{} + Milliseconds(1000);
  for (uint32_t i = 0; i < 2; ++i) {
    Worker& worker = ewma.at(WorkerId{i});
    const std::vector<ServedBundle> bundles = {
        {kDeployed, kModel, BundleRole::kDeployed, kDeployed}};
    ewma.SetServed(
        worker, {.worker = worker.id, .max_in_flight = 9, .bundles = bundles});
    worker.state = WorkerState::kAlive;
    worker.ewma.OnAnswer(start, Milliseconds(i == 0 ? 100 : 20), kDecay);
  }
  const auto pick = [&] {
    return ewma.Pick(*ewma.Find(kDeployed), {.now = start})->id;
  };
  Load(ewma.at(WorkerId{1}), 3);
  EXPECT_EQ(pick(), WorkerId{1}) << "4 x 20 ms";
  Load(ewma.at(WorkerId{1}), 2);
  EXPECT_EQ(pick(), WorkerId{0}) << "6 x 20 ms";
}

TEST(PeakEwmaTest, FollowsAPeakAtOnceAndForgetsIt) {
  constexpr Duration kDecay = Milliseconds(1000);
  PeakEwma ewma;
  Time now = Time{} + Milliseconds(1000);
  const auto value = [&] { return ewma.ValueAt(now, kDecay, Milliseconds(7)); };
  EXPECT_DOUBLE_EQ(value(), 0.007) << "never measured";
  ewma.OnAnswer(now, Milliseconds(20), kDecay);
  ewma.OnAnswer(now, Milliseconds(100), kDecay);
  EXPECT_DOUBLE_EQ(value(), 0.1);
  now += kDecay;
  EXPECT_NEAR(value(), 0.1 / 2.718, 1e-4);
  ewma.OnAnswer(now, Milliseconds(20), kDecay);
  EXPECT_NEAR(value(), 0.1 / 2.718 + 0.02 * (1 - 1 / 2.718), 1e-4);
}

TEST_F(WorkerTableTest, DeadSilentDrainingAndFullAreLeftOut) {
  Up(0).state = WorkerState::kDown;
  Up(1).state = WorkerState::kSilent;
  Up(2).draining = true;
  Load(Up(3, 0, 1, /*max_in_flight=*/2), 2);
  EXPECT_EQ(Pick(), nullptr);
  Load(Up(4), 3);
  EXPECT_EQ(Pick()->id, WorkerId{4});
}

TEST_F(WorkerTableTest, AvoidedWorkerIsNotPicked) {
  Up(0);
  EXPECT_EQ(Pick({.avoid = WorkerId{0}}), nullptr);
}

TEST_F(WorkerTableTest, FailingWorkerComesAfterBusyOnes) {
  const Time now = Time{} + Milliseconds(100);
  Up(0).penalised_until = now + Milliseconds(1);
  Load(Up(1), 3);
  EXPECT_EQ(Pick({.now = now})->id, WorkerId{1});
  EXPECT_EQ(Pick({.now = now + Milliseconds(1)})->id, WorkerId{0});
}

TEST_F(WorkerTableTest, GroupKeepsToDistinctWorkers) {
  Up(0);
  Load(Up(1), 3);
  PutMemberAt(0);
  EXPECT_EQ(Pick({.group = &group})->id, WorkerId{1});
  Load(table.at(WorkerId{1}), 1);
  EXPECT_EQ(Pick({.group = &group})->id, WorkerId{0})
      << "the only one with a slot: dispatch does not wait for coding";
}

TEST_F(WorkerTableTest, IdleWorkersInOtherDomainsComeFirst) {
  Up(0, /*domain=*/1);
  Up(1, /*domain=*/1);
  Load(Up(2, /*domain=*/2, /*lanes=*/2), 1);
  PutMemberAt(0);
  EXPECT_EQ(Pick({.group = &group})->id, WorkerId{2});
}

TEST_F(WorkerTableTest, OtherDomainNeverCostsWaiting) {
  Up(0, /*domain=*/1);
  Up(1, /*domain=*/1);
  Load(Up(2, /*domain=*/2), 1);
  PutMemberAt(0);
  EXPECT_EQ(Pick({.group = &group})->id, WorkerId{1});
}

TEST_F(WorkerTableTest, RedundantTasksLeaveHalfTheSlots) {
  Worker& worker = Up(0, 0, 1, /*max_in_flight=*/4);
  Load(worker, 2);
  worker.outstanding_redundant = 2;
  EXPECT_FALSE(WorkerTable::HasSlot(worker, /*redundant=*/true));
  EXPECT_TRUE(WorkerTable::HasSlot(worker, /*redundant=*/false));
  worker.serves_deployed = false;
  EXPECT_TRUE(WorkerTable::HasSlot(worker, /*redundant=*/true))
      << "a worker of parity bundles alone has no ordinary tasks";
}

TEST_F(WorkerTableTest, SingleSlotTakesRedundantOnlyWhenIdle) {
  Worker& worker = Up(0, 0, 1, /*max_in_flight=*/1);
  EXPECT_TRUE(WorkerTable::HasSlot(worker, /*redundant=*/true));
}

TEST_F(WorkerTableTest, ParityAvoidsItsGroupWhileOthersLive) {
  const std::vector<ServedBundle> parity = {
      {kParity, kModel, BundleRole::kParity, kDeployed}};
  Worker& used = Up(0, 0, 1, 4, parity);
  Worker& other = Up(1, 0, 1, 4, parity);
  PutMemberAt(0);
  const Bundle& bundle = *table.Find(kParity);
  EXPECT_FALSE(WorkerTable::MayTakePart(used, bundle, group));
  EXPECT_TRUE(WorkerTable::MayTakePart(other, bundle, group));
  other.state = WorkerState::kDown;
  EXPECT_TRUE(WorkerTable::MayTakePart(used, bundle, group));
}

TEST_F(WorkerTableTest, ParityBundleIsFoundByLineageAndIndex) {
  const RedundancyUnit unit = {};
  Up(0, 0, 1, 4, {{kParity, kModel, BundleRole::kParity, kDeployed, 1}});
  EXPECT_EQ(table.FindParity({.model = kModel, .deployed = kDeployed}, 0, unit),
            nullptr);
  EXPECT_EQ(
      table.FindParity({.model = kModel, .deployed = BundleKey{9}}, 1, unit),
      nullptr);
  EXPECT_EQ(table.FindParity({.model = kModel, .deployed = kDeployed}, 1, unit),
            table.Find(kParity));
}

TEST_F(WorkerTableTest, ParityBundleAnswersForItsUnitAlone) {
  const RedundancyUnit unit = {};
  Up(0, 0, 1, 4, {{kParity, kModel, BundleRole::kParity, kDeployed, 0, 1}});
  LayoutKey key = {.model = kModel, .deployed = kDeployed};
  EXPECT_EQ(table.FindParity(key, 0, unit), nullptr);
  key.unit = 1;
  EXPECT_EQ(table.FindParity(key, 0, unit), table.Find(kParity));
}

TEST_F(WorkerTableTest, BackupAnswersForUnitsThatPack) {
  constexpr BundleKey kBackup{3};
  const LayoutKey key = {.model = kModel, .deployed = kDeployed};
  Up(0, 0, 1, 4, {{kParity, kModel, BundleRole::kParity, kDeployed}});
  Up(1, 0, 1, 4, {{kBackup, kModel, BundleRole::kBackup, kBackup}});
  Up(2, 0, 1, 4, {{kBackup, kModel, BundleRole::kBackup, kBackup}});
  EXPECT_EQ(table.FindParity(key, 0, {}), table.Find(kParity));
  EXPECT_EQ(table.FindParity(key, 0, {.packs = true}), table.Find(kBackup))
      << "more lanes serve it";
  EXPECT_EQ(table.FindParity(
                key, 0, {.packs = true, .answered_by = BundleRole::kParity}),
            table.Find(kParity));
  EXPECT_EQ(table.FindParity(
                key, 0, {.packs = true, .answered_by = BundleRole::kBackup}),
            table.Find(kBackup));
}

TEST_F(WorkerTableTest, BundlesNobodyServesAreForgotten) {
  Up(0);
  Up(0, 0, 1, 4, {{kParity, kModel, BundleRole::kParity, kDeployed}});
  EXPECT_EQ(table.Find(kDeployed), nullptr);
  EXPECT_NE(table.Find(kParity), nullptr);
}

// A task of `kind` that takes 10 ms as a rule.
class RunningTaskTest : public WorkerTableTest {
 protected:
  RunningTaskTest() {
    for (int i = 0; i < 64; ++i) {
      LatencyTrigger::Copy copy;
      kind.Dispatched(copy, start);
      kind.Replied(copy, start + Milliseconds(10));
    }
    kind.DelaysAt(start);
  }
  Task& Begin(Worker& worker, Duration after) {
    tasks.push_back(std::make_unique<Task>());
    Task& task = *tasks.back();
    task.trigger = &kind;
    task.copy.dispatched = start + after;
    task.begun = start + after;
    worker.tasks.PushBack(task);
    Load(worker, 1);
    return task;
  }

  const Time start = Time{} + Milliseconds(1000);
  LatencyTrigger kind{{}};
  std::vector<std::unique_ptr<Task>> tasks;
};

TEST_F(RunningTaskTest, WorkerThatEndsSoonestIsPicked) {
  Begin(Up(0), Milliseconds(8));
  Begin(Up(1), Milliseconds(1));
  Begin(Up(2), Milliseconds(5));
  EXPECT_EQ(Pick({.now = start + Milliseconds(9)})->id, WorkerId{1});
}

TEST_F(RunningTaskTest, NobodyWaitsBehindALateTask) {
  Begin(Up(0), Milliseconds(0));
  Worker& queued = Up(1);
  Begin(queued, Milliseconds(20));
  Load(queued, 1);
  EXPECT_EQ(Pick({.now = start + Milliseconds(25)})->id, WorkerId{1})
      << "though it has two tasks";
}

TEST_F(RunningTaskTest, QueuedRedundantTasksDoNotCount) {
  Worker& yields = Up(0);
  Begin(yields, Milliseconds(0));
  Load(yields, 1);
  yields.outstanding_redundant = 1;
  Begin(Up(1), Milliseconds(3));
  EXPECT_EQ(Pick({.now = start + Milliseconds(5)})->id, WorkerId{0});
}

TEST_F(WorkerTableTest, IdleLanesHaveNoTaskAtAll) {
  EXPECT_EQ(table.LanesOf(kDeployed).idle, 0U);
  Load(Up(0, 0, /*lanes=*/3), 1);
  Worker& yields = Up(1);
  yields.outstanding_redundant = 1;
  Load(yields, 1);
  Drain(Up(2));
  EXPECT_EQ(table.LanesOf(kDeployed), (Lanes{.all = 4, .busy = 1, .idle = 2}));
}

TEST_F(WorkerTableTest, LanesLeaveWithTheirWorker) {
  Load(Up(0, 0, /*lanes=*/3), 2);
  Load(Up(1, 0, /*lanes=*/2), 1);
  table.SetState(table.at(WorkerId{1}), WorkerState::kSilent);
  const Lanes left = {.all = 3, .busy = 2, .idle = 1};
  EXPECT_EQ(table.LanesOf(kDeployed), left);
  table.Vacate(table.at(WorkerId{1}));
  EXPECT_EQ(table.LanesOf(kDeployed), left);
  Up(0, 0, /*lanes=*/1);  // started anew, with two tasks of before
  EXPECT_EQ(table.LanesOf(kDeployed), (Lanes{.all = 1, .busy = 1}));
}

TEST_F(WorkerTableTest, OneTaskLessFreesALaneOnlyWithoutALine) {
  Load(Up(0), 2);
  Load(Up(1), 1);
  Up(2);
  EXPECT_EQ(table.LanesOf(kDeployed, WorkerId{0}).busy, 2U);
  EXPECT_EQ(table.LanesOf(kDeployed, WorkerId{1}).busy, 1U);
  EXPECT_EQ(table.LanesOf(kDeployed, WorkerId{2}).busy, 2U);
}

TEST_F(WorkerTableTest, DomainApartIsSoughtAmongTheNextFew) {
  WorkerTable large(200);
  for (uint32_t i = 0; i < large.size(); ++i) {
    Worker& worker = large.at(WorkerId{i});
    large.SetServed(
        worker,
        {.worker = worker.id,
         .fault_domain = i == 40 || i == 140 ? 1U : 0U,
         .lanes = 1,
         .max_in_flight = 1,
         .bundles = {{kDeployed, kModel, BundleRole::kDeployed, kDeployed}}});
    large.SetState(worker, WorkerState::kAlive);
  }
  member.worker = WorkerId{199};
  group.members[0] = &member;
  group.num_members = 1;
  Bundle& bundle = *large.Find(kDeployed);
  EXPECT_EQ(large.Pick(bundle, {.group = &group})->id, WorkerId{40});
  EXPECT_EQ(large.Pick(bundle, {.group = &group})->id, WorkerId{41})
      << "140 is too far away";
}

TEST_F(WorkerTableTest, SlowWorkerIsWorthTwoInLine) {
  const Time now = Time{} + Milliseconds(100);
  Worker& slow = Up(0);
  slow.pace.OnAnswer(now, 5);
  slow.pace.OnAnswer(now, 5);
  Load(Up(1), 1);
  EXPECT_EQ(Pick({.now = now})->id, WorkerId{1});
  Load(table.at(WorkerId{1}), 2);
  EXPECT_EQ(Pick({.now = now})->id, WorkerId{0});
}

TEST_F(WorkerTableTest, LanesWithWorkAreBusy) {
  EXPECT_EQ(table.LanesOf(kDeployed).all, 0U) << "nobody takes tasks";
  Load(Up(0, 0, /*lanes=*/2), 1);
  Load(Up(1, 0, /*lanes=*/2), 4);
  Drain(Up(2, 0, /*lanes=*/9));
  EXPECT_EQ(table.LanesOf(kDeployed).all, 4U);
  EXPECT_EQ(table.LanesOf(kDeployed).busy, 3U);
}

TEST_F(WorkerTableTest, CopyGoesToAnotherWorkerAndDomain) {
  Up(0, /*domain=*/1);
  Up(1, /*domain=*/1);
  Load(Up(2, /*domain=*/2), 3);
  Batch batch;
  batch.tried[0] = WorkerId{0};
  EXPECT_EQ(Pick({.copy_of = &batch})->id, WorkerId{2})
      << "though the other one is idle";
  batch.tried[1] = WorkerId{2};
  EXPECT_EQ(Pick({.copy_of = &batch})->id, WorkerId{1});
  batch.tried[2] = WorkerId{1};
  EXPECT_EQ(Pick({.copy_of = &batch}), nullptr) << "never the same worker";
}

}  // namespace
}  // namespace parm::core
