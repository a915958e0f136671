#include "backends/worker_config.h"

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/curve_keys.h"
#include "proto/strict_yaml.h"
#include "tests/support/linear_model.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<WorkerConfig> Load(const std::string& yaml) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "worker.yaml", yaml);
  return LoadWorkerConfig(scratch / "worker.yaml");
}

const std::string kMinimal =
    "id: w1\nbind: \"tcp://127.0.0.1:0\"\nbundles: [{path: b}]\n";

TEST(WorkerConfigTest, FillsInTheDefaults) {
  PARM_ASSERT_OK_AND_ASSIGN(const WorkerConfig config, Load(kMinimal));
  EXPECT_EQ(config.loop.id, "w1");
  EXPECT_EQ(config.loop.fault_domain, "w1");
  EXPECT_EQ(config.loop.lanes, 1);
  EXPECT_EQ(config.loop.max_queue, 1024U);
  EXPECT_EQ(config.loop.max_message_bytes, size_t{256} << 20);
  EXPECT_EQ(config.loop.max_queued_bytes, uint64_t{1} << 30);
  EXPECT_EQ(config.loop.heartbeat_interval, Milliseconds(100));
  EXPECT_EQ(config.device, Device::kCpu);
  EXPECT_EQ(config.intra_op_threads, 1);
  ASSERT_EQ(config.bundles.size(), 1U);
  EXPECT_FALSE(config.bundles[0].pace.has_value());
}

TEST(WorkerConfigTest, BundlePathsCountFromTheFile) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "worker.yaml",
            "id: w1\nbind: \"tcp://127.0.0.1:0\"\n"
            "bundles: [{path: b}, {path: /absolute/b}]\n");
  PARM_ASSERT_OK_AND_ASSIGN(const WorkerConfig config,
                            LoadWorkerConfig(scratch / "worker.yaml"));
  EXPECT_EQ(config.bundles[0].path, scratch / "b");
  EXPECT_EQ(config.bundles[1].path, "/absolute/b");
}

TEST(WorkerConfigTest, ExtraSamplesCostTheServiceTime) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const WorkerConfig config,
      Load("id: w1\nbind: \"tcp://127.0.0.1:0\"\nbundles:\n"
           "  - {path: a, pace: {service: 20ms, spread: 0.05}}\n"
           "  - {path: b, pace: {service: 20ms, per_extra_sample: 2ms}}\n"));
  EXPECT_EQ(config.bundles[0].pace->service, Milliseconds(20));
  EXPECT_EQ(config.bundles[0].pace->spread, 0.05);
  EXPECT_EQ(config.bundles[0].pace->per_extra_sample, Milliseconds(20));
  EXPECT_EQ(config.bundles[1].pace->per_extra_sample, Milliseconds(2));
}

TEST(WorkerConfigTest, FaultEventsBecomeWindows) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const WorkerConfig config,
      Load(kMinimal +
           "faults:\n"
           "  seed: 9\n"
           "  events:\n"
           "    - {start: 2s, length: 1s,\n"
           "       slow_jobs: {probability: 0.01, factor: 10}}\n"
           "    - {slow_mode: {factor: 3},\n"
           "       reply_delay: {probability: 0.5, delay: 4ms},\n"
           "       drop_probability: 0.1, duplicate_probability: 0.2,\n"
           "       corrupt_probability: 0.3, error_probability: 0.4}\n"));
  EXPECT_EQ(config.loop.fault_seed, 9U);
  ASSERT_EQ(config.loop.fault_windows.size(), 2U);
  const FaultWindow& first = config.loop.fault_windows[0];
  EXPECT_EQ(first.start, Milliseconds(2000));
  EXPECT_EQ(first.length, Milliseconds(1000));
  EXPECT_EQ(first.slow_job_probability, 0.01);
  EXPECT_EQ(first.slow_job_factor, 10);
  const FaultWindow& second = config.loop.fault_windows[1];
  EXPECT_EQ(second.length, Duration::max());
  EXPECT_EQ(second.slow_mode_factor, 3);
  EXPECT_EQ(second.reply_delay, Milliseconds(4));
  EXPECT_EQ(second.drop_probability, 0.1);
  EXPECT_EQ(second.duplicate_probability, 0.2);
  EXPECT_EQ(second.corrupt_probability, 0.3);
  EXPECT_EQ(second.error_probability, 0.4);
}

TEST(WorkerConfigTest, FaultsMayCountFromATimeOfTheSystemClock) {
  const auto hour_ago = std::chrono::system_clock::now().time_since_epoch() -
                        std::chrono::hours(1);
  const auto epoch =
      std::chrono::duration_cast<std::chrono::milliseconds>(hour_ago).count();
  PARM_ASSERT_OK_AND_ASSIGN(
      const WorkerConfig config,
      Load(absl::StrCat(kMinimal, "faults: {epoch_unix_ms: ", epoch, "}\n")));
  ASSERT_TRUE(config.loop.fault_epoch.has_value());
  EXPECT_NEAR(
      ToSeconds(std::chrono::steady_clock::now() - *config.loop.fault_epoch),
      3600, 300);

  PARM_ASSERT_OK_AND_ASSIGN(const WorkerConfig without, Load(kMinimal));
  EXPECT_FALSE(without.loop.fault_epoch.has_value());
}

TEST(WorkerConfigTest, MissingFileIsNotFound) {
  EXPECT_THAT(LoadWorkerConfig("/absent/worker.yaml"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(WorkerConfigTest, MistakesAreInvalidAndNamed) {
  const auto refuses = [](const std::string& yaml, const std::string& words) {
    EXPECT_THAT(Load(yaml),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words)))
        << yaml;
  };
  refuses(kMinimal + "lane: 2\n", "lane");
  refuses(kMinimal + "max_message_bytes: 4294967296\n",
          "worker.yaml:4: max_message_bytes is too large");
  refuses(kMinimal + "device: tpu\n", "tpu");
  refuses(kMinimal + "heartbeat_interval: 10us\n",
          "worker.yaml:4: heartbeat_interval");
  refuses("id: w\nbind: \"127.0.0.1:7001\"\nbundles: [{path: b}]\n",
          "worker.yaml:2: bind is no address");
  refuses("id: w\nbind: \"tcp://127.0.0.1:0\"\nbundles: []\n", "bundles");
  refuses(kMinimal + "faults: {events: [{slow_jobs: {probability: 1}}]}\n",
          "worker.yaml:4: slow_jobs needs a factor");
  refuses(kMinimal + "faults: {events: [{slow_mode: {}}]}\n",
          "worker.yaml:4: slow_mode needs a factor");
  refuses(kMinimal + "faults: {events: [{reply_delay: {probability: 1}}]}\n",
          "worker.yaml:4: reply_delay needs a delay");
}

TEST(WorkerConfigTest, LoadBundlesNamesTheBundleThatFails) {
  const ScratchDirectory scratch;
  const std::string& folder = scratch.path();
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle good,
                            WriteLinearBundle(folder + "/good", {}));
  WorkerConfig config;
  config.bundles = {{.path = folder + "/good"}};
  PARM_ASSERT_OK_AND_ASSIGN(const auto served,
                            LoadBundles(config, LoadLinearModel));
  ASSERT_EQ(served.size(), 1U);
  EXPECT_EQ(served[0]->bundle().id, good.id);

  config.bundles.push_back({.path = folder + "/absent"});
  EXPECT_THAT(LoadBundles(config, LoadLinearModel),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/absent")));

  PARM_ASSERT_OK_AND_ASSIGN(const Bundle cut,
                            WriteLinearBundle(folder + "/cut", {}));
  WriteFile(cut.model_path, "parm-linear 1\nse");
  config.bundles.back().path = folder + "/cut";
  EXPECT_THAT(LoadBundles(config, LoadLinearModel),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("/cut")));
}

TEST(WorkerConfigTest, ReadsCurveKeysBesideTheFile) {
  const ScratchDirectory scratch;
  ASSERT_THAT(MakeCurveKeys(scratch / "worker"), IsOk());
  ASSERT_THAT(MakeCurveKeys(scratch / "frontend"), IsOk());
  const auto load = [&](const std::string& curve) {
    WriteFile(scratch / "worker.yaml",
              absl::StrCat(kMinimal, "curve: {", curve, "}\n"));
    return LoadWorkerConfig(scratch / "worker.yaml");
  };
  PARM_ASSERT_OK_AND_ASSIGN(
      const WorkerConfig config,
      load("secret_key: worker, frontends: [frontend.pub, worker.pub]"));
  PARM_ASSERT_OK_AND_ASSIGN(const std::string public_key,
                            LoadCurveKey(scratch / "frontend.pub"));
  EXPECT_THAT(config.loop.client_keys,
              ::testing::ElementsAre(public_key, config.loop.keys.public_key));
  for (const auto& [curve, want] :
       {std::pair{"secret_key: worker", "frontends"},
        std::pair{"frontends: [frontend.pub]", "secret_key"},
        std::pair{"secret_key: worker, frontends: []", "frontends"},
        std::pair{"secret_key: none, frontends: [frontend.pub]",
                  "cannot be read"},
        std::pair{"secret_key: worker, frontends: [worker.yaml]",
                  "want one key of 40 characters"}}) {
    EXPECT_THAT(load(curve),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(want)));
  }
}

}  // namespace
}  // namespace parm
