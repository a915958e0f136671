#include "frontend/task_ledger.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/tensors.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

constexpr Time kStart{};
constexpr WorkerId kWorker{1};

TEST(TaskLedgerTest, GivesATaskToItsOwnWorkerOnce) {
  TaskLedger ledger;
  ledger.Add(TaskId{1}, {.worker = kWorker, .rows = 3}, kStart);
  EXPECT_EQ(ledger.Take(TaskId{1}, WorkerId{2}), std::nullopt);
  EXPECT_EQ(ledger.Take(TaskId{2}, kWorker), std::nullopt);
  const std::optional<TaskRecord> record = ledger.Take(TaskId{1}, kWorker);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->rows, 3);
  EXPECT_EQ(ledger.Take(TaskId{1}, kWorker), std::nullopt);
}

TEST(TaskLedgerTest, ForgetsTheTasksOfALostWorker) {
  TaskLedger ledger;
  ledger.Add(TaskId{1}, {.worker = kWorker}, kStart);
  ledger.Add(TaskId{2}, {.worker = WorkerId{2}}, kStart);
  ledger.DropWorker(kWorker);
  EXPECT_EQ(ledger.size(), 1U);
  EXPECT_TRUE(ledger.Take(TaskId{2}, WorkerId{2}).has_value());
}

TEST(TaskLedgerTest, ForgetsWhatIsNeverAnswered) {
  TaskLedger ledger;
  for (uint64_t i = 0; i < 10; ++i) {
    ledger.Add(TaskId{i}, {.worker = kWorker},
               kStart + Milliseconds(static_cast<int64_t>(i)));
  }
  EXPECT_TRUE(ledger.Take(TaskId{3}, kWorker).has_value());
  ledger.Expire(kStart + Milliseconds(5));
  EXPECT_EQ(ledger.size(), 5U);
  ledger.Expire(kStart + Milliseconds(100));
  EXPECT_EQ(ledger.size(), 0U);
}

TEST(TaskLedgerTest, KeepsNoTrailBehindATaskThatIsNeverAnswered) {
  TaskLedger ledger;
  ledger.Add(TaskId{0}, {.worker = kWorker}, kStart + Milliseconds(3'600'000));
  for (uint64_t i = 1; i < 10'000; ++i) {
    ledger.Add(TaskId{i}, {.worker = kWorker}, kStart + Milliseconds(1));
    ASSERT_LE(ledger.num_aging(), 2 * ledger.size() + 1024);
    EXPECT_TRUE(ledger.Take(TaskId{i}, kWorker).has_value());
    ledger.Expire(kStart + Milliseconds(5));
  }
  EXPECT_TRUE(ledger.Take(TaskId{0}, kWorker).has_value());
}

class CheckOutputsTest : public ::testing::Test {
 protected:
  static CatalogBundle BundleOf() {
    CatalogBundle bundle;
    bundle.outputs = {
        {.name = "y", .datatype = DataType::kFp32, .shape = {-1, 2}},
        {.name = "z", .datatype = DataType::kFp32, .shape = {-1, -1}}};
    return bundle;
  }
  static std::vector<oip::Tensor> Good() {
    return {Fp32Tensor("z", {2, 1}, {5, 6}),
            Fp32Tensor("y", {2, 2}, {1, 2, 3, 4})};
  }
  static void ExpectRefused(std::vector<oip::Tensor> tensors,
                            const std::string& text) {
    EXPECT_THAT(CheckOutputs({.rows = 2, .member_rows = 2}, BundleOf(),
                             std::move(tensors)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(text)));
  }
};

TEST_F(CheckOutputsTest, PutsOutputsIntoTheModelsOrder) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const TensorSet set,
      CheckOutputs({.rows = 2, .member_rows = 1}, BundleOf(), Good()));
  ASSERT_EQ(set.tensors.size(), 2U);
  EXPECT_EQ(set.tensors[0].spec.name, "y");
  EXPECT_EQ(set.tensors[1].spec.name, "z");
  EXPECT_EQ(set.rows, 1);
}

TEST_F(CheckOutputsTest, RefusesAnotherNumberOfOutputs) {
  std::vector<oip::Tensor> tensors = Good();
  tensors.pop_back();
  ExpectRefused(tensors, "number of outputs: got 1, want 2");
}

TEST_F(CheckOutputsTest, RefusesMissingAndRepeatedNames) {
  std::vector<oip::Tensor> tensors = Good();
  tensors[0] = tensors[1];
  ExpectRefused(tensors, "no output 'z'");
}

TEST_F(CheckOutputsTest, RefusesAnotherDatatype) {
  std::vector<oip::Tensor> tensors = Good();
  tensors[0].spec.datatype = DataType::kInt32;
  ExpectRefused(tensors, "datatype of 'z'");
}

TEST_F(CheckOutputsTest, RefusesBytesThatAreCutOff) {
  CatalogBundle bundle;
  bundle.outputs = {{.name = "s", .datatype = DataType::kBytes, .shape = {-1}}};
  const std::string two("\x02\0\0\0hi\x01\0\0\0!", 11);
  const auto check = [&](const std::string& bytes) {
    return CheckOutputs(
        {.rows = 2, .member_rows = 2}, bundle,
        {{.spec = {.name = "s", .datatype = DataType::kBytes, .shape = {2}},
          .data = Buffer::FromString(bytes)}});
  };
  EXPECT_THAT(check(two), IsOk());
  EXPECT_THAT(check(two.substr(0, 10)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("BYTES")));
  EXPECT_THAT(check(two.substr(0, 6)), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(CheckOutputsTest, RefusesRowsThatWereNotAskedFor) {
  std::vector<oip::Tensor> tensors = Good();
  tensors[0] = Fp32Tensor("z", {1, 1}, {5});
  ExpectRefused(tensors, "shape [1,1]");
  tensors[0] = Fp32Tensor("z", {2}, {5, 6});
  ExpectRefused(tensors, "shape [2]");
  tensors = Good();
  tensors[1] = Fp32Tensor("y", {2, 1}, {5, 6});
  ExpectRefused(tensors, "shape [2,1]");
}

}  // namespace
}  // namespace parm
