#include "frontend/reloading_frontend.h"

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/upstream/fake_worker.h"
#include "tests/support/infer_client.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::IsEmpty;

constexpr char kModel[] = "models: [{name: m, deadline: 60s}]\n";
constexpr char kApplied[] = "parm_config_reloads_total{outcome=\"applied\"}";
constexpr char kExact[] = "parm_queries_total{model=\"m\",source=\"exact\"}";

wire::TensorSpec Spec(const std::string& name, int64_t rows) {
  wire::TensorSpec spec;
  spec.set_name(name);
  spec.set_datatype(wire::UINT8);
  spec.add_shape(rows);
  return spec;
}

// The frontend in this thread, over workers that answer when the test says.
class ReloadingFrontendTest : public ::testing::Test {
 protected:
  void Start(Duration patience = Milliseconds(60'000)) {
    PARM_ASSERT_OK_AND_ASSIGN(
        FrontendOptions options,
        ParseFrontendConfig(Config(worker_), scratch_ / "first.yaml"));
    PARM_ASSERT_OK_AND_ASSIGN(
        frontend_, ReloadingFrontend::Create(
                       loop_, std::move(options),
                       [this] {
                         return ParseFrontendConfig(next_,
                                                    scratch_ / "next.yaml");
                       },
                       {.poll = Milliseconds(1), .patience = patience}));
    ASSERT_TRUE(RunUntil([this] { return frontend_->Ready(); }));
  }

  static std::string Config(const FakeWorker& worker) {
    return absl::StrCat("health: {heartbeat_timeout: 120s}\n",
                        "workers: [{endpoint: \"", worker.endpoint(), "\"}]\n",
                        kModel);
  }

  // Reads `yaml`, and waits until that is in force.
  void Apply(const std::string& yaml) {
    next_ = yaml;
    const double before = Metric(kApplied);
    frontend_->Reload();
    EXPECT_TRUE(RunUntil([&] { return Metric(kApplied) == before + 1; }));
  }

  bool RunUntil(const std::function<bool()>& done) {
    const auto give_up =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      loop_.run_one_for(std::chrono::milliseconds(2));
      while (auto message = worker_.Receive()) Take(*std::move(message));
    }
    return true;
  }

  // Says hello to every frontend loop, and keeps its tasks.
  void Take(FakeWorker::Message message) {
    if (message.envelope.has_hello_request()) {
      wire::Envelope envelope;
      wire::Hello& hello = *envelope.mutable_hello();
      hello.set_worker_id("w");
      hello.set_instance_nonce(5);
      hello.set_lanes(1);
      wire::BundleInfo& bundle = *hello.add_bundles();
      bundle.set_sha256(std::string(32, 'd'));
      bundle.set_model("m");
      bundle.set_version("1");
      bundle.set_role(wire::DEPLOYED);
      *bundle.add_inputs() = Spec("x", -1);
      *bundle.add_outputs() = Spec("y", -1);
      worker_.Send(message.peer, envelope);
    } else if (message.envelope.has_infer()) {
      tasks_.push_back(std::move(message));
    }
  }

  void AnswerTasks() {
    for (const FakeWorker::Message& task : tasks_) {
      wire::Envelope envelope;
      wire::Reply& reply = *envelope.mutable_reply();
      reply.set_task_id(task.envelope.infer().task_id());
      reply.set_instance_nonce(5);
      reply.set_status(wire::OK);
      *reply.add_tensors() = Spec("y", 1);
      worker_.Send(task.peer, envelope, {"y"});
    }
    tasks_.clear();
  }

  // Waits until the query's task is with the worker.
  QueryHandle Ask(const std::string& name) {
    oip::InferRequest request;
    request.model_name = "m";
    request.inputs.push_back(
        {.spec = {.name = "x", .datatype = DataType::kUint8, .shape = {1}},
         .data = Buffer::FromString("x")});
    const size_t before = tasks_.size();
    const QueryHandle handle =
        frontend_->Infer(std::move(request), [this, name](QueryReply reply) {
          EXPECT_THAT(reply.status, IsOk());
          EXPECT_TRUE(answered_.insert(name).second) << "answered twice";
        });
    EXPECT_TRUE(RunUntil([&] { return tasks_.size() == before + 1; }));
    return handle;
  }

  double Metric(const std::string& name) {
    return MetricValue("\n" + frontend_->MetricsText(), name);
  }

  ScratchDirectory scratch_;
  FakeWorker worker_;
  std::string next_ = Config(worker_);
  boost::asio::io_context loop_;
  std::vector<FakeWorker::Message> tasks_;
  std::set<std::string> answered_;
  std::unique_ptr<ReloadingFrontend> frontend_;
};

TEST_F(ReloadingFrontendTest, AnswersQueriesOfBothConfigurations) {
  Start();
  Ask("old");
  Apply(Config(worker_));
  EXPECT_EQ(Metric("parm_config_generation"), 2);
  Ask("new");
  EXPECT_NE(tasks_[0].peer, tasks_[1].peer);
  EXPECT_THAT(answered_, IsEmpty());
  AnswerTasks();
  EXPECT_TRUE(RunUntil([this] { return answered_.size() == 2; }));
  EXPECT_EQ(Metric(kExact), 2) << "no counter goes back";
  // The old loop ends; what it counted stays.
  Ask("later");
  AnswerTasks();
  EXPECT_TRUE(RunUntil([this] { return answered_.size() == 3; }));
  EXPECT_EQ(Metric(kExact), 3);
}

TEST_F(ReloadingFrontendTest, ServesOnWhenTheFileIsWrong) {
  Start();
  next_ = "workers: 3\n";
  frontend_->Reload();
  EXPECT_EQ(frontend_->counters().refused, 1U);
  EXPECT_EQ(Metric("parm_config_generation"), 1);
  Ask("a");
  AnswerTasks();
  EXPECT_TRUE(RunUntil([this] { return answered_.size() == 1; }));
}

TEST_F(ReloadingFrontendTest, ServesOnWhenTheNewWorkersDoNotCome) {
  Start(Milliseconds(20));
  const FakeWorker silent;
  next_ = Config(silent);
  frontend_->Reload();
  EXPECT_TRUE(
      RunUntil([this] { return frontend_->counters().not_ready == 1; }));
  EXPECT_EQ(Metric("parm_config_generation"), 1);
  Ask("a");
  AnswerTasks();
  EXPECT_TRUE(RunUntil([this] { return answered_.size() == 1; }));
}

TEST_F(ReloadingFrontendTest, TakesTheLatestOfTwoThatWait) {
  Start();
  const FakeWorker silent;
  next_ = Config(silent);
  frontend_->Reload();
  Apply(Config(worker_));
  EXPECT_EQ(frontend_->counters().not_ready, 0U);
  Ask("a");
  AnswerTasks();
  EXPECT_TRUE(RunUntil([this] { return answered_.size() == 1; }));
}

TEST_F(ReloadingFrontendTest, RefusesToCaptureOtherwise) {
  Start();
  next_ = absl::StrCat("workers: [{endpoint: \"", worker_.endpoint(),
                       "\"}]\nmodels: [{name: m, capture: {directory: \"",
                       scratch_.path(), "\"}}]\n");
  frontend_->Reload();
  EXPECT_EQ(frontend_->counters().refused, 1U);
}

TEST_F(ReloadingFrontendTest, LetsModelsComeAndGo) {
  Start();
  Apply(absl::StrCat(Config(worker_).substr(0, Config(worker_).size() - 2),
                     ", {name: unserved}]\n"));
  EXPECT_THAT(frontend_->ModelNames(), ::testing::ElementsAre("m", "unserved"));
  Apply(Config(worker_));
  EXPECT_THAT(frontend_->ModelNames(), ::testing::ElementsAre("m"));
}

TEST_F(ReloadingFrontendTest, ForgetsAnAbandonedQueryOfAnyConfiguration) {
  Start();
  const QueryHandle old = Ask("old");
  Apply(Config(worker_));
  const QueryHandle young = Ask("new");
  frontend_->Abandon(old);
  EXPECT_EQ(Metric("parm_queries_abandoned_total{model=\"m\"}"), 1);
  frontend_->Abandon(young);
  EXPECT_EQ(Metric("parm_queries_abandoned_total{model=\"m\"}"), 2);
  Ask("last");
  AnswerTasks();
  EXPECT_TRUE(RunUntil([this] { return answered_.count("last") == 1; }));
  EXPECT_EQ(answered_.size(), 1U);
}

TEST_F(ReloadingFrontendTest, KeepsNoMoreThanAFewThatAnswerStill) {
  Start();
  for (size_t i = 0; i < ReloadingFrontend::kMaxDraining; ++i) {
    Ask(absl::StrCat("query ", i));
    Apply(Config(worker_));
  }
  Ask("last");
  frontend_->Reload();
  EXPECT_EQ(frontend_->counters().refused, 1U);
  AnswerTasks();
  EXPECT_TRUE(RunUntil([this] {
    return answered_.size() == ReloadingFrontend::kMaxDraining + 1 &&
           frontend_->num_draining() == 0;
  }));
  Apply(Config(worker_));
}

TEST_F(ReloadingFrontendTest, DrainsEveryConfiguration) {
  Start();
  Ask("old");
  Apply(Config(worker_));
  Ask("new");
  bool drained = false;
  frontend_->Drain([&] { drained = true; });
  EXPECT_FALSE(frontend_->Ready());
  frontend_->Reload();
  EXPECT_EQ(Metric(kApplied), 1) << "what ends takes no configuration";
  EXPECT_FALSE(drained);
  AnswerTasks();
  EXPECT_TRUE(RunUntil([&] { return drained; }));
  EXPECT_EQ(answered_.size(), 2U);
}

}  // namespace
}  // namespace parm
