#include "frontend/upstream/oip/bundle_watch.h"

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "frontend/upstream/oip/oip_upstream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/bundle.h"
#include "proto/npy_header.h"
#include "proto/wire_codec.h"
#include "tests/frontend/upstream/oip/fake_model_server.h"
#include "tests/support/linear_model.h"
#include "tests/support/matchers.h"
#include "tests/support/run_loop.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::SizeIs;

std::string BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()),
          values.size() * sizeof(float)};
}

oip::Tensor Floats(const std::vector<float>& values,
                   std::vector<int64_t> shape) {
  return {.spec = {.datatype = DataType::kFp32, .shape = std::move(shape)},
          .data = Buffer::FromString(BytesOf(values))};
}

// A channel whose replies the test writes.
class FakeChannel final : public ServerChannel {
 public:
  struct Asked {
    size_t model = 0;
    std::string input;
    float value = 0;
    Done done;
  };

  absl::StatusOr<uint64_t> Ask(ServerQuestion, size_t, Time, Done) override {
    return absl::UnimplementedError("only inference");
  }
  absl::StatusOr<uint64_t> Infer(size_t model, oip::InferRequest request, Time,
                                 Done done) override {
    if (!refusal.ok()) return refusal;
    float value = 0;
    std::memcpy(&value, request.inputs[0].data.bytes().data(), sizeof(value));
    asked.push_back({.model = model,
                     .input = request.inputs[0].spec.name,
                     .value = value,
                     .done = std::move(done)});
    return asked.size();
  }
  void Drop(uint64_t) override {}
  void CloseAll() override {}
  void Sweep(Time) override {}
  size_t num_busy() const override { return 0; }
  ServerKind kind() const override { return ServerKind::kTriton; }

  void Answer(float value) {
    oip::InferResponse response;
    response.outputs.push_back(Floats({value}, {1, 1}));
    asked.back().done({.content = std::move(response)});
  }

  absl::Status refusal;
  std::vector<Asked> asked;
};

constexpr Duration kHour = Milliseconds(3'600'000);

// A model with two probes: 1 -> 10 and 2 -> 20.
class BundleWatchTest : public ::testing::Test {
 protected:
  BundleWatchTest() {
    auto known = std::make_shared<KnownBundle>();
    known->probe_inputs = Floats({1, 2}, {2, 1});
    known->probe_outputs = Floats({10, 20}, {2, 1});
    known->num_probes = 2;
    known_ = known;
  }

  BundleWatch::Parts Parts(Duration interval = kHour, double phase = 0) {
    return {.channel = &channel_,
            .max_in_flight = 2,
            .interval = interval,
            .phase = phase,
            .anyone_asks = &anyone_asks_,
            .counters = &counters_,
            .on_changed = [this] { ++num_changed_; }};
  }
  std::vector<BundleWatch::Model> Models(bool same = true) const {
    return {
        {.index = 4, .input_name = "theirs", .known = known_, .same = same}};
  }

  FakeChannel channel_;
  bool anyone_asks_ = false;
  BundleWatchCounters counters_;
  int num_changed_ = 0;
  std::shared_ptr<const KnownBundle> known_;
  // A round counts from when the last one ended, by the clock.
  const Time start_ = std::chrono::steady_clock::now();
};

TEST_F(BundleWatchTest, AsksEveryProbeOnceAnInterval) {
  BundleWatch watch(Parts());
  watch.Start(start_, Models());
  watch.Run(start_ + kHour / 2 - Milliseconds(1), 0);
  EXPECT_THAT(channel_.asked, SizeIs(0));
  watch.Run(start_ + kHour / 2, 0);
  ASSERT_THAT(channel_.asked, SizeIs(1));
  EXPECT_EQ(channel_.asked[0].model, 4U);
  EXPECT_EQ(channel_.asked[0].input, "theirs");
  EXPECT_EQ(channel_.asked[0].value, 1);
  watch.Run(start_ + kHour / 2, 0);
  EXPECT_THAT(channel_.asked, SizeIs(1)) << "one at a time";
  channel_.Answer(10);
  watch.Run(start_ + kHour / 2, 0);
  ASSERT_THAT(channel_.asked, SizeIs(2));
  EXPECT_EQ(channel_.asked[1].value, 2);
  channel_.Answer(20);
  EXPECT_EQ(counters_.same, 1U);
  watch.Run(start_ + kHour / 2, 0);
  EXPECT_THAT(channel_.asked, SizeIs(2));
  watch.Run(start_ + 2 * kHour, 0);
  EXPECT_THAT(channel_.asked, SizeIs(3));
  EXPECT_EQ(num_changed_, 0);
}

TEST_F(BundleWatchTest, TellsOfAModelThatWasReplaced) {
  BundleWatch watch(Parts());
  watch.Start(start_, Models());
  watch.Run(start_ + kHour, 0);
  channel_.Answer(10);
  EXPECT_EQ(num_changed_, 0);
  watch.Run(start_ + kHour, 0);
  channel_.Answer(21);
  EXPECT_EQ(num_changed_, 1);
  EXPECT_EQ(counters_.changed, 1U);
  watch.Run(start_ + 9 * kHour, 0);
  EXPECT_THAT(channel_.asked, SizeIs(2)) << "until the next hello";
  // One that cannot take its inputs any more is another, too.
  watch.Start(start_, Models());
  watch.Run(start_ + kHour, 0);
  channel_.asked.back().done(
      {.status = absl::InvalidArgumentError("unexpected shape")});
  EXPECT_EQ(num_changed_, 2);
}

TEST_F(BundleWatchTest, TellsOfAModelThatIsTheBundleAgain) {
  BundleWatch watch(Parts());
  watch.Start(start_, Models(/*same=*/false));
  watch.Run(start_ + kHour, 0);
  channel_.Answer(10);
  watch.Run(start_ + kHour, 0);
  channel_.Answer(21);
  EXPECT_EQ(counters_.same, 1U) << "as it was: not the bundle";
  for (const float answer : {10.0F, 20.0F}) {
    EXPECT_EQ(num_changed_, 0);
    watch.Run(start_ + 3 * kHour, 0);
    channel_.Answer(answer);
  }
  EXPECT_EQ(num_changed_, 1);
}

TEST_F(BundleWatchTest, SilenceAndOverloadSayNothing) {
  BundleWatch watch(Parts());
  watch.Start(start_, Models());
  watch.Run(start_ + kHour, 0);
  channel_.asked.back().done({.end = ExchangeEnd::kTimedOut});
  watch.Run(start_ + 3 * kHour, 0);
  ASSERT_THAT(channel_.asked, SizeIs(2));
  channel_.asked.back().done(
      {.status = absl::UnavailableError("not ready"), .retryable = true});
  channel_.refusal = absl::InvalidArgumentError("JSON cannot say that");
  watch.Run(start_ + 6 * kHour, 0);
  EXPECT_EQ(counters_.unanswered, 3U);
  EXPECT_EQ(num_changed_, 0);
}

TEST_F(BundleWatchTest, WaitsForAFreeSlot) {
  BundleWatch watch(Parts());
  watch.Start(start_, Models());
  watch.Run(start_ + kHour, /*num_tasks=*/2);
  EXPECT_THAT(channel_.asked, SizeIs(0));
  channel_.refusal = absl::ResourceExhaustedError("all connections are busy");
  watch.Run(start_ + kHour, /*num_tasks=*/1);
  EXPECT_FALSE(watch.asking());
  channel_.refusal = absl::OkStatus();
  watch.Run(start_ + kHour, /*num_tasks=*/1);
  EXPECT_TRUE(watch.asking());
  EXPECT_EQ(counters_.unanswered, 0U);
}

TEST_F(BundleWatchTest, OneServerIsAskedAtATime) {
  BundleWatch first(Parts());
  BundleWatch second(Parts());
  first.Start(start_, Models());
  second.Start(start_, Models());
  first.Run(start_ + kHour, 0);
  second.Run(start_ + kHour, 0);
  ASSERT_THAT(channel_.asked, SizeIs(1));
  channel_.Answer(10);
  second.Run(start_ + kHour, 0);
  first.Run(start_ + kHour, 0);
  EXPECT_THAT(channel_.asked, SizeIs(2));
  EXPECT_TRUE(second.asking());
  EXPECT_FALSE(first.asking());
}

TEST_F(BundleWatchTest, ServersAreAskedAtTimesOfTheirOwn) {
  BundleWatch watch(Parts(kHour, /*phase=*/0.5));
  watch.Start(start_, Models());
  watch.Run(start_ + 3 * kHour / 4 - Milliseconds(1), 0);
  EXPECT_THAT(channel_.asked, SizeIs(0));
  watch.Run(start_ + 3 * kHour / 4 + Milliseconds(1), 0);
  EXPECT_THAT(channel_.asked, SizeIs(1));
}

TEST_F(BundleWatchTest, StoppedWatchHearsNothing) {
  BundleWatch watch(Parts());
  watch.Start(start_, Models());
  watch.Run(start_ + kHour, 0);
  watch.Stop();
  EXPECT_FALSE(anyone_asks_) << "others may";
  channel_.Answer(99);
  EXPECT_EQ(counters_.changed, 0U);
  watch.Run(start_ + 9 * kHour, 0);
  EXPECT_THAT(channel_.asked, SizeIs(1));
}

TEST_F(BundleWatchTest, NoIntervalMeansNever) {
  BundleWatch watch(Parts(Duration{0}));
  watch.Start(start_, Models());
  watch.Run(start_ + 9 * kHour, 0);
  EXPECT_THAT(channel_.asked, SizeIs(0));
}

// ---- In a server ---------------------------------------------------------

const LinearModelSpec kModel{.seed = 5, .num_inputs = 2, .num_outputs = 2};

class HelloListener : public UpstreamListener {
 public:
  void OnHello(WorkerId, const wire::Hello& hello) override {
    bundles.push_back(hello.bundles(0).sha256());
    nonces.push_back(hello.instance_nonce());
  }
  void OnHelloRefused(WorkerId, const std::string&) override {}
  void OnLost(WorkerId) override {}
  void OnHeartbeat(WorkerId, uint32_t, uint32_t) override {}
  void OnDraining(WorkerId) override {}
  void OnStarted(WorkerId, TaskId) override {}
  void OnReply(WorkerId, WorkerReply) override {}

  std::vector<std::string> bundles;
  std::vector<uint64_t> nonces;
};

// One server of a model that is said to be our bundle.
class WatchedServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PARM_ASSERT_OK_AND_ASSIGN(
        const Bundle plain,
        WriteLinearBundle(scratch_ / "plain",
                          {.model = kModel, .sample_shape = {2}}));
    bundle::Manifest manifest = plain.manifest;
    manifest.mutable_probes()->set_inputs_npy("in.npy");
    manifest.mutable_probes()->set_outputs_npy("out.npy");
    const std::vector<float> probe = {1, 2};
    const std::string header = WriteNpyHeader(DataType::kFp32, {1, 2});
    PARM_ASSERT_OK_AND_ASSIGN(
        bundle_,
        WriteBundle(
            scratch_ / "deployed", manifest,
            {{"model.txt", ReadFile(plain.model_path)},
             {"in.npy", header + BytesOf(probe)},
             {"out.npy", header + BytesOf(LinearOutput(kModel, probe))}}));
    server_.on_infer = [this](const FakeModelServer::Request& request,
                              const FakeModelServer::Peer& peer) {
      ++num_asked_;
      if (silent_) return;
      std::vector<float> input(2);
      std::memcpy(input.data(), request.body.data() + request.body.size() - 8,
                  8);
      std::vector<float> output = LinearOutput(kModel, input);
      output[0] += off_by_;
      peer.Send(BinaryAnswer(BytesOf(output)));
    };
    OipOptions options;
    options.heartbeat_interval = Milliseconds(2);
    options.bundle_check_interval = Milliseconds(4);
    options.servers = {
        {.endpoint = server_.url(),
         .url = *ParseServerUrl(server_.url()),
         .max_in_flight = 1,
         .serves = {
             {.name = "m", .server_name = "m", .bundle = bundle_.directory}}}};
    PARM_ASSERT_OK_AND_ASSIGN(upstream_,
                              OipUpstream::Create(loop_, options, &listener_));
    ASSERT_TRUE(RunUntil([&] { return listener_.bundles.size() == 1; }));
    ASSERT_EQ(listener_.bundles[0], ToBundleInfo(bundle_).sha256());
  }
  void TearDown() override { upstream_.reset(); }

  bool RunUntil(const std::function<bool()>& done) {
    return RunLoopUntil(loop_, done);
  }
  const OipCounters& counters() { return upstream_->counters(); }

  const ScratchDirectory scratch_;
  Bundle bundle_;
  boost::asio::io_context loop_;
  FakeModelServer server_{loop_};
  float off_by_ = 0;
  bool silent_ = false;
  int num_asked_ = 0;
  HelloListener listener_;
  std::unique_ptr<OipUpstream> upstream_;
};

TEST_F(WatchedServerTest, ReplacedModelIsMetUnderItsOwnIdentity) {
  ASSERT_TRUE(RunUntil([&] { return counters().bundle_checks.same > 3; }));
  EXPECT_THAT(listener_.bundles, SizeIs(1)) << "no hello for what is the same";
  off_by_ = 100;
  ASSERT_TRUE(RunUntil([&] { return listener_.bundles.size() == 2; }));
  EXPECT_NE(listener_.bundles[1], ToBundleInfo(bundle_).sha256());
  EXPECT_EQ(listener_.nonces[1], listener_.nonces[0]) << "it kept its tasks";
  EXPECT_EQ(counters().bundle_checks.changed, 1U);
  EXPECT_EQ(counters().probes_failed, 1U);
  const uint64_t same = counters().bundle_checks.same;
  ASSERT_TRUE(
      RunUntil([&] { return counters().bundle_checks.same > same + 3; }));
  EXPECT_THAT(listener_.bundles, SizeIs(2));
  off_by_ = 0;
  ASSERT_TRUE(RunUntil([&] { return listener_.bundles.size() == 3; }));
  EXPECT_EQ(listener_.bundles[2], ToBundleInfo(bundle_).sha256());
}

TEST_F(WatchedServerTest, ProbeHoldsUpNoTask) {
  silent_ = true;
  const int before = num_asked_;
  ASSERT_TRUE(RunUntil([&] { return num_asked_ > before; }));
  const oip::Tensor input = Floats({1, 2}, {1, 2});
  const InferTask task{.task = TaskId{1},
                       .bundle_sha256 = listener_.bundles[0],
                       .budget = Milliseconds(60'000)};
  EXPECT_THAT(
      upstream_->SendInfer(WorkerId{0}, task, absl::MakeConstSpan(&input, 1)),
      IsOk());
  ASSERT_TRUE(RunUntil([&] { return num_asked_ == before + 2; }));
  // It is not waited for any longer than other questions are.
  ASSERT_TRUE(
      RunUntil([&] { return counters().bundle_checks.unanswered > 0; }));
}

}  // namespace
}  // namespace parm
