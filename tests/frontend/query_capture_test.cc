#include "frontend/query_capture.h"

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/npy_header.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

const Time kNow = Time{} + Milliseconds(1'000'000);

CatalogBundle BundleOfOneInput() {
  CatalogBundle bundle;
  bundle.inputs = {{"x", DataType::kFp32, {-1, 2}}};
  bundle.outputs = {{"y", DataType::kFp32, {-1, 3}}};
  return bundle;
}

TensorSet Floats(const std::vector<float>& values,
                 const std::vector<int64_t>& sample_shape = {2}) {
  oip::Tensor input{.spec = {.name = "x", .datatype = DataType::kFp32}};
  const auto sample_size = static_cast<size_t>(*NumElements(sample_shape));
  const auto rows = static_cast<int64_t>(values.size() / sample_size);
  input.spec.shape = sample_shape;
  input.spec.shape.insert(input.spec.shape.begin(), rows);
  input.data =
      Buffer::CopyOf({reinterpret_cast<const std::byte*>(values.data()),
                      values.size() * sizeof(float)});
  TensorSet set{.rows = rows};
  set.tensors.push_back(std::move(input));
  return set;
}

class QueryCaptureTest : public ::testing::Test {
 protected:
  std::unique_ptr<QueryCapture> Capture(CaptureOptions options) {
    options.directory = scratch_.path();
    auto capture = QueryCapture::Create(
        {{.name = "plain"}, {.name = "m", .options = options}});
    EXPECT_THAT(capture, IsOk());
    return *std::move(capture);
  }

  static uint64_t Count(const QueryCapture& capture, CaptureOutcome outcome) {
    return capture.counters()[0].outcomes[static_cast<size_t>(outcome)];
  }

  std::vector<float> Written() const {
    const std::string file = ReadFile(scratch_ / "queries-000001.npy");
    const auto header = ParseNpyHeader(file, "f");
    EXPECT_THAT(header, IsOk());
    std::vector<float> values((file.size() - header->size) / sizeof(float));
    std::memcpy(values.data(), file.data() + header->size,
                values.size() * sizeof(float));
    return values;
  }

  const ScratchDirectory scratch_;
  const ModelId plain_{0};
  const ModelId model_{1};
  const CatalogBundle bundle_ = BundleOfOneInput();
};

TEST_F(QueryCaptureTest, IsNothingUnlessAModelAsksForIt) {
  const auto capture = QueryCapture::Create({{.name = "a"}, {.name = "b"}});
  EXPECT_THAT(capture, IsOk());
  EXPECT_EQ(*capture, nullptr);
}

TEST_F(QueryCaptureTest, FailsWithoutItsDirectory) {
  EXPECT_THAT(QueryCapture::Create(
                  {{.name = "m", .options = {.directory = "/missing"}}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(QueryCaptureTest, WritesTheInputsOfItsOwnModel) {
  auto capture = Capture({.sample = 1});
  capture->Offer(plain_, bundle_, Floats({9, 9}), kNow);
  capture->Offer(model_, bundle_, Floats({1, 2}), kNow);
  capture->Offer(model_, bundle_, Floats({3, 4, 5, 6}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kTaken), 2U);
  capture.reset();
  EXPECT_THAT(Written(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(QueryCaptureTest, StopsAtTheBoundsOverEveryRun) {
  auto capture = Capture({.max_queries = 3, .sample = 1});
  capture->Offer(model_, bundle_, Floats({1, 2, 3, 4}), kNow);
  capture->Offer(model_, bundle_, Floats({5, 6, 7, 8}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kBound), 1U);
  capture = nullptr;
  capture = Capture({.max_queries = 3, .sample = 1});
  capture->Offer(model_, bundle_, Floats({5, 6}), kNow);
  capture->Offer(model_, bundle_, Floats({7, 8}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kTaken), 1U);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kBound), 1U);
  capture = nullptr;
  capture = Capture({.max_bytes = 24, .sample = 1});
  capture->Offer(model_, bundle_, Floats({7, 8}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kBound), 1U);
}

TEST_F(QueryCaptureTest, TakesNoMoreThanItsRate) {
  const auto capture = Capture({.max_per_second = 2, .sample = 1});
  for (int i = 0; i < 5; ++i) {
    capture->Offer(model_, bundle_, Floats({1, 2}), kNow);
  }
  EXPECT_EQ(Count(*capture, CaptureOutcome::kTaken), 2U);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kOverRate), 3U);
  capture->Offer(model_, bundle_, Floats({1, 2}), kNow + Milliseconds(600));
  EXPECT_EQ(Count(*capture, CaptureOutcome::kTaken), 3U);
}

TEST_F(QueryCaptureTest, LeavesOutWhatTheTrainerWouldRefuse) {
  const auto capture = Capture({.sample = 1});
  capture->Offer(model_, bundle_,
                 Floats({1, std::numeric_limits<float>::quiet_NaN()}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kNotFinite), 1U);

  TensorSet two = Floats({1, 2});
  two.tensors.push_back(two.tensors[0]);
  capture->Offer(model_, bundle_, two, kNow);
  CatalogBundle fixed = bundle_;
  fixed.batched = false;
  capture->Offer(model_, fixed, Floats({1, 2}), kNow);
  CatalogBundle two_outputs = bundle_;
  two_outputs.outputs.push_back(two_outputs.outputs[0]);
  capture->Offer(model_, two_outputs, Floats({1, 2}), kNow);
  TensorSet halves = Floats({1, 2});
  halves.tensors[0].spec.datatype = DataType::kFp16;
  capture->Offer(model_, bundle_, halves, kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kNotSupported), 4U);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kTaken), 0U);
}

TEST_F(QueryCaptureTest, KeepsToTheLayoutOfItsDirectory) {
  auto capture = Capture({.sample = 1});
  capture->Offer(model_, bundle_, Floats({1, 2}), kNow);
  capture->Offer(model_, bundle_, Floats({1, 2, 3}, {3}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kNotSupported), 1U);
  capture = nullptr;
  capture = Capture({.sample = 1});
  capture->Offer(model_, bundle_, Floats({1, 2, 3}, {3}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kNotSupported), 1U);
  capture->Offer(model_, bundle_, Floats({3, 4}), kNow);
  EXPECT_EQ(Count(*capture, CaptureOutcome::kTaken), 1U);
}

}  // namespace
}  // namespace parm
