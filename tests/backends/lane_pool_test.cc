#include "backends/lane_pool.h"

#include <poll.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "backends/served_bundle.h"
#include "base/mutex.h"
#include "gtest/gtest.h"
#include "tests/support/linear_model.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

constexpr int kPatienceMs = 30'000;

// Answers zeros, and leaves NaN where its input was.
class SpoilingModel : public Model {
 public:
  absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> inputs) const override {
    auto* const bytes = const_cast<std::byte*>(inputs[0].bytes.bytes().data());
    const float nan = NAN;
    std::memcpy(bytes, &nan, sizeof(nan));
    return std::vector<ModelTensor>{
        {.datatype = DataType::kFp32,
         .shape = {1, 3},
         .bytes = Buffer::FromString(std::string(3 * sizeof(float), '\0'))}};
  }
};

// Answers zeros, and notes on which threads.
class NotingModel : public Model {
 public:
  struct Threads {
    Mutex mu;
    std::set<std::thread::id> ids ABSL_GUARDED_BY(mu);

    size_t count() {
      MutexLock lock(&mu);
      return ids.size();
    }
  };
  explicit NotingModel(Threads* threads) : threads_(*threads) {}

  absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> /*inputs*/) const override {
    {
      MutexLock lock(&threads_.mu);
      threads_.ids.insert(std::this_thread::get_id());
    }
    return std::vector<ModelTensor>{
        {.datatype = DataType::kFp32,
         .shape = {1, 3},
         .bytes = Buffer::FromString(std::string(3 * sizeof(float), '\0'))}};
  }

 private:
  Threads& threads_;
};

class LanePoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto bundle =
        WriteLinearBundle(scratch_ / "bundle",
                          {.model = {.num_outputs = 3}, .sample_shape = {4}});
    ASSERT_THAT(bundle, IsOk());
    auto served =
        ServedBundle::Create(*bundle,
                             [](const ModelFile&) {
                               return std::make_unique<const SpoilingModel>();
                             },
                             {});
    ASSERT_THAT(served, IsOk());
    served_ = *std::move(served);
    auto outbox = Outbox::Create();
    ASSERT_THAT(outbox, IsOk());
    outbox_ = *std::move(outbox);
  }

  std::optional<TaskFinished> WaitForFinished() {
    pollfd woken = {.fd = outbox_->wake_fd(), .events = POLLIN};
    std::vector<LaneEvent> events;
    while (poll(&woken, 1, kPatienceMs) == 1) {
      outbox_->Drain(&events);
      for (LaneEvent& event : events) {
        if (auto* const finished = std::get_if<TaskFinished>(&event)) {
          return std::move(*finished);
        }
      }
    }
    return std::nullopt;
  }

  ScratchDirectory scratch_;
  std::unique_ptr<const ServedBundle> served_;
  TaskQueue queue_{4};
  std::unique_ptr<Outbox> outbox_;
};

TEST_F(LanePoolTest, EachLaneHasRunTheModelsBefore) {
  NotingModel::Threads threads;
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto served,
      ServedBundle::Create(served_->bundle(),
                           [&threads](const ModelFile&) {
                             return std::make_unique<const NotingModel>(
                                 &threads);
                           },
                           {}));
  ASSERT_EQ(threads.count(), 1U) << "this one";
  const LanePool lanes({.num_lanes = 3,
                        .faults = Faults({}, KeyedDraws(1, "w1")),
                        .draws = KeyedDraws(1, "w1"),
                        .bundles = {served.get()}},
                       &queue_, outbox_.get());
  EXPECT_EQ(threads.count(), 4U);
}

TEST_F(LanePoolTest, ModelInPlaceDoesNotSpoilInputCheck) {
  const LanePool lanes(
      {.faults = Faults({}, KeyedDraws(1, "w1")), .draws = KeyedDraws(1, "w1")},
      &queue_, outbox_.get());
  Task task = {.key = {PeerId{1}, TaskId{1}}, .bundle = served_.get()};
  task.inputs.push_back(
      {.datatype = DataType::kFp32,
       .shape = {1, 4},
       .bytes = Buffer::FromString(std::string(4 * sizeof(float), '\0'))});
  ASSERT_FALSE(queue_.Push(std::move(task)).has_value());
  const std::optional<TaskFinished> finished = WaitForFinished();
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->status, wire::OK);
  EXPECT_FALSE(finished->non_finite_input);
}

}  // namespace
}  // namespace parm
