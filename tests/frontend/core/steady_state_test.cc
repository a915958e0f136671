// In the steady state the core allocates nothing, and its tables stay as small
// as the work that is under way.

#include <vector>

#include "frontend/core/frontend_core.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/support/allocation_counter.h"

namespace parm::core {
namespace {

// Answers every task, encode and decode, in an order that leaves some of them
// late, without allocating.
class Worker final : public ActionSink {
 public:
  Worker() {
    tasks.reserve(1024);
    encodes.reserve(1024);
    decodes.reserve(1024);
  }
  void Emit(const Action& action) override {
    if (const auto* task = std::get_if<DispatchTask>(&action)) {
      tasks.push_back({task->task, task->worker});
    } else if (const auto* encode = std::get_if<EncodeParity>(&action)) {
      encodes.push_back(encode->group);
    } else if (const auto* decode = std::get_if<DecodeMember>(&action)) {
      decodes.push_back({decode->group, decode->member});
    } else if (std::holds_alternative<AnswerQuery>(action)) {
      ++answers;
    } else if (const auto* release = std::get_if<ReleaseBuffer>(&action)) {
      released += release->buffer != BufferId{} ? 1 : 0;
    } else if (const auto* wake = std::get_if<WakeAt>(&action)) {
      wake_at = wake->time;
    }
  }
  struct Task {
    TaskId task;
    WorkerId worker;
  };
  struct Decode {
    GroupId group;
    uint8_t member;
  };
  std::vector<Task> tasks;
  std::vector<GroupId> encodes;
  std::vector<Decode> decodes;
  uint64_t answers = 0;
  uint64_t released = 0;
  Time wake_at = kNever;
};

class World {
 public:
  explicit World(CoreOptions options, uint32_t max_in_flight = 16)
      : core_(FrontendCore::Create(std::move(options)).value()) {
    const std::vector<ServedBundle> bundles = {
        {kDeployed, kModel, BundleRole::kDeployed, kDeployed},
        {kParity, kModel, BundleRole::kParity, kDeployed}};
    for (uint32_t i = 0; i < 4; ++i) {
      Tell(WorkerUp{.worker = WorkerId{i},
                    .nonce = 1,
                    .fault_domain = i,
                    .max_in_flight = max_in_flight,
                    .bundles = bundles});
    }
  }

  void Tell(const Event& event) {
    core_->Handle(now_, event, worker_);
    ++num_events;
  }

  // One query in a world where every fifth reply is late.
  void Step() { Step(1); }

  // So many at once.
  void Step(int num_queries) {
    now_ += Milliseconds(2);
    if (worker_.wake_at <= now_) {
      worker_.wake_at = kNever;
      Tell(TimerFired{});
    }
    ++step_;
    for (int i = 0; i < num_queries; ++i) Arrive();
    if (step_ % 50 == 0) {
      for (uint32_t i = 0; i < 4; ++i) Tell(WorkerHeard{WorkerId{i}});
    }
    Finish();
  }

  void Arrive() {
    Tell(QueryArrived{.query = QueryId{++last_query_},
                      .model = kModel,
                      .deployed = kDeployed,
                      .signature = 1,
                      .bytes = 100,
                      .input = NewBuffer(),
                      .deadline = now_ + Milliseconds(500)});
  }

  void Finish() {
    for (const GroupId group : worker_.encodes) {
      Tell(ParityEncoded{.group = group,
                         .parity_index = 0,
                         .ok = true,
                         .parity = NewBuffer(),
                         .bytes = 100});
    }
    worker_.encodes.clear();
    for (const Worker::Decode& decode : worker_.decodes) {
      Tell(MemberDecoded{.group = decode.group,
                         .member = decode.member,
                         .ok = true,
                         .output = NewBuffer()});
    }
    worker_.decodes.clear();
    // Of the tasks that are out, the newest come back, and the oldest once
    // there are many.
    while (worker_.tasks.size() > 12 ||
           (num_replies_ % 5 != 0 && !worker_.tasks.empty())) {
      const bool oldest = worker_.tasks.size() > 12;
      const size_t index = oldest ? 0 : worker_.tasks.size() - 1;
      const Worker::Task task = worker_.tasks[index];
      worker_.tasks.erase(worker_.tasks.begin() + static_cast<int>(index));
      ++num_replies_;
      Tell(TaskReplied{.task = task.task,
                       .worker = task.worker,
                       .status = TaskStatus::kOk,
                       .output = NewBuffer()});
    }
    ++num_replies_;
  }

  BufferId NewBuffer() { return BufferId{++last_buffer_}; }
  const FrontendCore& core() const { return *core_; }
  const Worker& worker() const { return worker_; }
  uint64_t num_events = 0;

 private:
  std::unique_ptr<FrontendCore> core_;
  Worker worker_;
  Time now_ = Time{} + Milliseconds(1000);
  uint64_t step_ = 0;
  uint64_t last_query_ = 0;
  uint64_t num_replies_ = 0;
  uint32_t last_buffer_ = 0;
};

class SteadyStateTest : public ::testing::TestWithParam<PolicyKind> {};

TEST_P(SteadyStateTest, EventsAllocateNothing) {
  CoreOptions options = CodedOptions(4, {.scheme = "sum", .k = 2});
  options.models[0].policy = GetParam();
  options.models[0].decode.trigger_max = Milliseconds(10);
  World world(options);
  for (int i = 0; i < 1000; ++i) world.Step();
  const int64_t before = NumAllocations();
  const uint64_t events_before = world.num_events;
  for (int i = 0; i < 10'000; ++i) world.Step();
  EXPECT_EQ(NumAllocations() - before, 0)
      << "over " << world.num_events - events_before << " events";
  EXPECT_GT(world.worker().answers, 10'000U);
  const ModelCounters& counters = world.core().counters().models[0];
  if (GetParam() == PolicyKind::kCoded) {
    EXPECT_GT(counters.decodes, 100U) << "the run must reach the decoder";
    EXPECT_GT(counters.groups_closed_full, 4'000U);
  }
}

TEST_P(SteadyStateTest, LineOfWaitingBatchesAllocatesNothing) {
  CoreOptions options = CodedOptions(4, {.scheme = "sum", .k = 2});
  options.models[0].policy = GetParam();
  World world(options, /*max_in_flight=*/1);
  for (int i = 0; i < 1000; ++i) world.Step(8);
  const int64_t before = NumAllocations();
  for (int i = 0; i < 5'000; ++i) world.Step(8);
  EXPECT_EQ(NumAllocations() - before, 0);
  const CoreCounters& counters = world.core().counters();
  EXPECT_GT(counters.rare_paths.hits(RarePath::kBatchWaited), 1'000U);
}

TEST_P(SteadyStateTest, TablesStayAsSmallAsTheWork) {
  CoreOptions options = CodedOptions(4, {.scheme = "sum", .k = 2});
  options.models[0].policy = GetParam();
  World world(options);
  for (int i = 0; i < 20'000; ++i) {
    world.Step();
    const CoreSizes sizes = world.core().sizes();
    ASSERT_LT(sizes.queries, 100U);
    ASSERT_LT(sizes.batches, 100U);
    ASSERT_LT(sizes.tasks, 100U);
    ASSERT_LT(sizes.groups, 100U);
    ASSERT_LT(sizes.timers, 300U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Policies, SteadyStateTest,
    ::testing::Values(PolicyKind::kNone, PolicyKind::kCoded, PolicyKind::kHedge,
                      PolicyKind::kReplicate, PolicyKind::kBackup,
                      PolicyKind::kHybrid),
    [](const auto& tested) {
      switch (tested.param) {
        case PolicyKind::kNone:
          return "None";
        case PolicyKind::kCoded:
          return "Coded";
        case PolicyKind::kHedge:
          return "Hedge";
        case PolicyKind::kReplicate:
          return "Replicate";
        case PolicyKind::kBackup:
          return "Backup";
        case PolicyKind::kHybrid:
          return "Hybrid";
      }
      return "";
    });

}  // namespace
}  // namespace parm::core
