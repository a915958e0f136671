// Sequences on virtual time, over a transport that notes what it is sent.

#include "frontend/sequence_router.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire_codec.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr ModelId kModel{0};

class NotingTransport final : public WorkerTransport {
 public:
  struct Sent {
    WorkerId worker{};
    TaskId task{};
    std::string data;
  };
  absl::Status SendInfer(WorkerId worker, const InferTask& task,
                         absl::Span<const oip::Tensor> tensors) override {
    if (!status.ok()) return status;
    const auto bytes = tensors[0].data.bytes();
    sent.push_back(
        {.worker = worker,
         .task = task.task,
         .data = {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
    return absl::OkStatus();
  }
  absl::Status SendCancel(WorkerId, TaskId) override {
    ADD_FAILURE() << "a step is never cancelled";
    return absl::OkStatus();
  }
  absl::Status SendProbe(WorkerId) override { return absl::OkStatus(); }

  absl::Status status;
  std::vector<Sent> sent;
};

class SequenceRouterTest : public ::testing::Test {
 protected:
  // Worker 0 is one of ours, 1 and 2 are model servers; all serve the model.
  void Start(SequenceOptions options = {},
             std::vector<uint32_t> max_in_flight = {0, 2, 2}) {
    counters_.use.resize(1);
    for (uint32_t i = 0; i < 3; ++i) Hello(WorkerId{i}, 1);
    router_ = std::make_unique<SequenceRouter>(
        options,
        SequenceRouter::Parts{
            .buffers = &buffers_,
            .ledger = &ledger_,
            .catalog = &catalog_,
            .workers = &board_,
            .upstream = &transport_,
            .counters = &counters_,
            .on_answer =
                [this](const core::AnswerQuery& answer) {
                  const bool ok = answer.source == core::AnswerSource::kExact;
                  Note(answer.query,
                       ok ? "ok" : absl::StrCat("error ", Raw(answer.error)));
                },
            .on_failure =
                [this](QueryId query, const absl::Status& why) {
                  Note(query, std::string(why.message()));
                },
            .max_in_flight = std::move(max_in_flight)});
  }

  void Hello(WorkerId worker, uint64_t nonce) {
    wire::Hello hello;
    hello.set_worker_id(absl::StrCat("w", Raw(worker)));
    hello.set_instance_nonce(nonce);
    wire::BundleInfo* const bundle = hello.add_bundles();
    bundle->set_sha256(std::string(32, 'm'));
    bundle->set_model("m");
    bundle->set_version("1");
    bundle->set_role(wire::DEPLOYED);
    *bundle->add_inputs() =
        wire::ToWire(TensorSpec{"x", DataType::kUint8, {-1}});
    *bundle->add_outputs() =
        wire::ToWire(TensorSpec{"y", DataType::kUint8, {-1}});
    board_.OnHello(worker, hello, now_);
    catalog_.OnHello(worker, hello);
    catalog_.SetTakesTasks(worker, true);
  }

  absl::Status Ask(uint64_t query, const std::string& id,
                   const std::string& flags = "",
                   Duration deadline = Milliseconds(1000)) {
    TensorSet inputs{.rows = 1};
    inputs.tensors.push_back(
        {.spec = {.name = "x", .datatype = DataType::kUint8, .shape = {1}},
         .data = Buffer::FromString(absl::StrCat(query))});
    return router_->Take({.query = QueryId{query},
                          .model = kModel,
                          .step = {.id = id,
                                   .start = flags.find('s') != flags.npos,
                                   .end = flags.find('e') != flags.npos},
                          .inputs = std::move(inputs),
                          .deadline = now_ + deadline},
                         catalog_.Current(kModel)->key, now_);
  }

  // What was sent and not answered, oldest first.
  std::vector<std::string> AtServers() const {
    std::vector<std::string> out;
    for (const auto& sent : transport_.sent) out.push_back(sent.data);
    return out;
  }

  // Answers the oldest task.
  void Answer(core::TaskStatus status = core::TaskStatus::kOk) {
    const NotingTransport::Sent sent = transport_.sent.front();
    transport_.sent.erase(transport_.sent.begin());
    EXPECT_TRUE(SequenceRouter::Owns(sent.task));
    EXPECT_TRUE(ledger_.Take(sent.task, sent.worker).has_value());
    core::TaskReplied reply{
        .task = sent.task, .worker = sent.worker, .status = status};
    if (status == core::TaskStatus::kOk) {
      reply.output = buffers_.Add({.rows = 1});
    }
    router_->OnReply(sent.task, sent.worker, reply, now_);
  }

  void Note(QueryId query, std::string what) {
    EXPECT_TRUE(answers_.emplace(Raw(query), std::move(what)).second)
        << "answered twice: " << Raw(query);
  }

  Time now_ = Time{} + Milliseconds(1000);
  CatalogOptions catalog_options_{.models = {{.name = "m"}},
                                  .fault_domains = {"", "", ""},
                                  .max_in_flight = {1, 1, 1}};
  ModelCatalog catalog_{catalog_options_};
  WorkerBoard board_{{"tcp://a:1", "http://b:1", "http://c:1"},
                     Milliseconds(3'600'000)};
  BufferTable buffers_;
  TaskLedger ledger_;
  NotingTransport transport_;
  LoopCounters counters_;
  std::map<uint64_t, std::string> answers_;
  std::unique_ptr<SequenceRouter> router_;
};

TEST_F(SequenceRouterTest, SendsAWholeSequenceToOneServer) {
  Start();
  for (uint64_t query = 1; query <= 10; ++query) {
    const std::string id = query % 2 == 0 ? "7" : "8";
    ASSERT_THAT(Ask(query, id,
                    query <= 2  ? "s"
                    : query > 8 ? "e"
                                : ""),
                IsOk());
    const WorkerId worker = transport_.sent.at(0).worker;
    EXPECT_NE(worker, WorkerId{0}) << "it knows no sequences";
    EXPECT_EQ(worker, query % 2 == 0 ? WorkerId{2} : WorkerId{1})
        << "two sequences are spread over two servers";
    Answer();
    EXPECT_EQ(answers_[query], "ok");
  }
  EXPECT_EQ(counters_.sequences.started, 2U);
  EXPECT_EQ(counters_.sequences.ended, 2U);
  EXPECT_EQ(counters_.sequences.requests_answered, 10U);
  EXPECT_EQ(counters_.use[0].steps_answered.count, 10U);
  EXPECT_EQ(router_->size(), 0U);
  EXPECT_EQ(buffers_.size(), 0U);
  EXPECT_EQ(ledger_.size(), 0U);
}

TEST_F(SequenceRouterTest, SendsStepsOneAfterTheOther) {
  Start();
  ASSERT_THAT(Ask(1, "7", "s"), IsOk());
  ASSERT_THAT(Ask(2, "7"), IsOk());
  ASSERT_THAT(Ask(3, "7", "e"), IsOk());
  EXPECT_THAT(AtServers(), ElementsAre("1"));
  Answer(core::TaskStatus::kError);
  EXPECT_THAT(AtServers(), ElementsAre("2"));
  Answer();
  EXPECT_THAT(AtServers(), ElementsAre("3"));
  EXPECT_EQ(router_->size(), 1U);
  Answer();
  EXPECT_EQ(router_->size(), 0U);
  EXPECT_EQ(answers_[1],
            absl::StrCat("error ", Raw(core::AnswerError::kBackend)));
  EXPECT_EQ(answers_[3], "ok");
}

TEST_F(SequenceRouterTest, SendsAServerNoMoreThanItTakes) {
  Start({}, {0, 2, 0});
  for (uint64_t query = 1; query <= 3; ++query) {
    ASSERT_THAT(Ask(query, absl::StrCat(query), "se"), IsOk());
  }
  EXPECT_THAT(AtServers(), ElementsAre("1", "2"));
  Answer();
  EXPECT_THAT(AtServers(), ElementsAre("2", "3"));
}

TEST_F(SequenceRouterTest, FailsASequenceWithItsServer) {
  Start({}, {0, 2, 2});
  ASSERT_THAT(Ask(1, "7", "s"), IsOk());
  ASSERT_THAT(Ask(2, "7"), IsOk());
  ASSERT_THAT(Ask(3, "8", "s"), IsOk());
  const WorkerId lost = transport_.sent[0].worker;
  ledger_.DropWorker(lost);
  router_->OnLost(lost, now_);
  for (const uint64_t query : {1U, 2U}) {
    EXPECT_THAT(answers_[query], HasSubstr("the server that had sequence 7"));
  }
  EXPECT_EQ(answers_.count(3), 0U) << "another server's";
  // Never silently another server's: until it is started anew.
  for (const uint64_t query : {4U, 5U}) {
    EXPECT_THAT(Ask(query, "7"),
                StatusIs(absl::StatusCode::kUnavailable,
                         HasSubstr("start the sequence anew")));
  }
  EXPECT_EQ(counters_.sequences.failed, 1U);
  EXPECT_EQ(counters_.sequences.requests_refused, 2U);
  transport_.sent.clear();
  ASSERT_THAT(Ask(6, "7", "s"), IsOk());
  EXPECT_THAT(AtServers(), ElementsAre("6"));
  EXPECT_EQ(buffers_.size(), 0U);
}

TEST_F(SequenceRouterTest, TakesARefusedSendForALostServer) {
  Start();
  ASSERT_THAT(Ask(1, "7", "s"), IsOk());
  Answer();
  transport_.status = absl::UnavailableError("the server is not there");
  ASSERT_THAT(Ask(2, "7"), IsOk());
  EXPECT_THAT(answers_[2], HasSubstr("is gone"));
  transport_.status = absl::OkStatus();
  EXPECT_THAT(Ask(3, "7"), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_THAT(Ask(4, "7", "s"), IsOk());
  transport_.status = absl::OutOfRangeError("too large");
  Answer();
  ASSERT_THAT(Ask(5, "7"), IsOk());
  EXPECT_EQ(answers_[5], "parm-frontend: too large");
  transport_.status = absl::OkStatus();
  ASSERT_THAT(Ask(6, "7", "e"), IsOk());
  Answer();
  EXPECT_EQ(answers_[6], "ok") << "the sequence is what it was";
}

TEST_F(SequenceRouterTest, KeepsAStepThatItsServerHasNoRoomFor) {
  Start({}, {0, 2, 0});
  transport_.status = absl::ResourceExhaustedError("busy");
  ASSERT_THAT(Ask(1, "7", "s"), IsOk());
  ASSERT_THAT(Ask(2, "7"), IsOk());
  ASSERT_THAT(Ask(3, "8", "s", Milliseconds(10)), IsOk());
  EXPECT_THAT(answers_, IsEmpty());
  now_ += Milliseconds(10);
  router_->OnTime(now_);
  EXPECT_EQ(answers_.count(3), 1U) << "no longer than its deadline";
  router_->OnHeard(WorkerId{1}, now_);
  EXPECT_THAT(AtServers(), IsEmpty());
  transport_.status = absl::OkStatus();
  router_->OnHeard(WorkerId{1}, now_);
  EXPECT_THAT(AtServers(), ElementsAre("1"));
  Answer();
  EXPECT_THAT(AtServers(), ElementsAre("2"));
  Answer();
  EXPECT_EQ(buffers_.size(), 0U);
}

TEST_F(SequenceRouterTest, EndsAStepWhoseRecordIsGone) {
  Start({.idle_timeout = Milliseconds(100)}, {0, 1, 1});
  ASSERT_THAT(Ask(1, "7", "s", Milliseconds(20)), IsOk());
  ASSERT_THAT(Ask(2, "8", "s"), IsOk());
  const NotingTransport::Sent sent = transport_.sent.front();
  transport_.sent.erase(transport_.sent.begin());
  Answer();
  now_ += Milliseconds(100);
  router_->OnTime(now_);
  EXPECT_EQ(router_->size(), 1U) << "8 is forgotten behind 7's long step";
  ledger_.Expire(now_ + Milliseconds(3'600'000));
  router_->OnReply(sent.task, WorkerId{2}, std::nullopt, now_);
  ASSERT_THAT(Ask(3, "7"), IsOk());
  EXPECT_THAT(AtServers(), IsEmpty()) << "another worker's word counts nothing";
  router_->OnReply(sent.task, sent.worker, std::nullopt, now_);
  EXPECT_THAT(AtServers(), ElementsAre("3"));
  router_->OnReply(sent.task, sent.worker, std::nullopt, now_);
  Answer();
  EXPECT_EQ(answers_[3], "ok");
}

TEST_F(SequenceRouterTest, RefusesASequenceThatWasNotStarted) {
  Start();
  EXPECT_THAT(Ask(1, "7"), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("sequence 7 is not open here")));
  ASSERT_THAT(Ask(2, "7", "se"), IsOk());
  Answer();
  EXPECT_THAT(Ask(3, "7"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(counters_.sequences.requests_refused, 2U);
  EXPECT_THAT(AtServers(), IsEmpty());
}

TEST_F(SequenceRouterTest, RefusesSequencesThatNobodyKnows) {
  Start({}, {0, 0, 0});
  EXPECT_THAT(Ask(1, "7", "s"),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("sequences are not supported")));
}

TEST_F(SequenceRouterTest, StartsNothingWhereNoServerIsUp) {
  Start();
  for (uint32_t i = 1; i < 3; ++i) {
    board_.OnLost(WorkerId{i});
    catalog_.OnLost(WorkerId{i});
  }
  EXPECT_THAT(Ask(1, "7", "s"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(SequenceRouterTest, BoundsSequencesAndTheirWaitingSteps) {
  Start({.max_sequences = 2, .max_waiting = 2});
  ASSERT_THAT(Ask(1, "a", "s"), IsOk());
  ASSERT_THAT(Ask(2, "b", "s"), IsOk());
  EXPECT_THAT(Ask(3, "c", "s"), StatusIs(absl::StatusCode::kResourceExhausted,
                                         HasSubstr("too many sequences")));
  ASSERT_THAT(Ask(4, "a"), IsOk());
  ASSERT_THAT(Ask(5, "a"), IsOk());
  EXPECT_THAT(Ask(6, "a"), StatusIs(absl::StatusCode::kResourceExhausted,
                                    HasSubstr("sequence a wait")));
  EXPECT_EQ(router_->size(), 2U);
}

TEST_F(SequenceRouterTest, ForgetsWhatIsIdleButNothingElse) {
  Start({.idle_timeout = Milliseconds(100)});
  ASSERT_THAT(Ask(1, "idle", "s"), IsOk());
  Answer();
  ASSERT_THAT(Ask(2, "busy", "s"), IsOk());
  EXPECT_EQ(router_->next_wake(), now_ + Milliseconds(100));
  now_ += Milliseconds(100);
  router_->OnTime(now_);
  EXPECT_EQ(router_->size(), 1U);
  EXPECT_EQ(counters_.sequences.forgotten, 1U);
  EXPECT_THAT(Ask(3, "idle"), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Ask(4, "busy"), IsOk());
  Answer();
  EXPECT_EQ(answers_[2], "ok");
}

TEST_F(SequenceRouterTest, AnswersAtTheDeadlineAndKeepsTheOrder) {
  Start();
  ASSERT_THAT(Ask(1, "7", "s", Milliseconds(20)), IsOk());
  ASSERT_THAT(Ask(2, "7", "", Milliseconds(10)), IsOk());
  ASSERT_THAT(Ask(3, "7"), IsOk());
  EXPECT_EQ(router_->next_wake(), now_ + Milliseconds(10));
  now_ += Milliseconds(20);
  router_->OnTime(now_);
  const std::string late =
      absl::StrCat("error ", Raw(core::AnswerError::kDeadlineExceeded));
  EXPECT_EQ(answers_[1], late);
  EXPECT_EQ(answers_[2], late);
  // The first one is with the server still; the second never was.
  EXPECT_THAT(AtServers(), ElementsAre("1"));
  Answer();
  EXPECT_THAT(AtServers(), ElementsAre("3"));
  EXPECT_EQ(counters_.sequences.requests_failed, 2U);
  EXPECT_EQ(counters_.use[0].steps_failed.ns, 40'000'000U);
}

TEST_F(SequenceRouterTest, WithdrawsAnAbandonedStepThatWaits) {
  Start();
  ASSERT_THAT(Ask(1, "7", "s"), IsOk());
  ASSERT_THAT(Ask(2, "7"), IsOk());
  ASSERT_THAT(Ask(3, "7", "e"), IsOk());
  EXPECT_TRUE(router_->Abandon(QueryId{1}));
  EXPECT_TRUE(router_->Abandon(QueryId{2}));
  EXPECT_FALSE(router_->Abandon(QueryId{2}));
  EXPECT_FALSE(router_->Abandon(QueryId{9}));
  Answer();
  EXPECT_THAT(AtServers(), ElementsAre("3"));
  Answer();
  EXPECT_THAT(answers_, ElementsAre(Pair(3U, "ok")));
  EXPECT_EQ(router_->size(), 0U);
  EXPECT_EQ(buffers_.size(), 0U);
}

}  // namespace
}  // namespace parm
