// Every Errors: line of encoder/code.h, on every registered scheme with every k
// and r it takes. kFailedPrecondition is tried on all arrival patterns in
// code_contract_test.cc.

#include <limits>
#include <optional>
#include <vector>

#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/code_fixture.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using Slots = std::vector<std::optional<TensorView>>;

using CodeErrorsTest = CodeFixture;

TEST_P(CodeErrorsTest, ParityQuerySpecRefusesWhatItCannotCode) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const TensorSpec good = {"image", DataType::kFp32, MemberShape(1)};
  ASSERT_THAT(code_->ParityQuerySpec(good, k()), IsOk());
  EXPECT_THAT(code_->ParityQuerySpec(good, 0), invalid);
  EXPECT_THAT(code_->ParityQuerySpec(good, -1), invalid);
  EXPECT_THAT(code_->ParityQuerySpec(good, k() + 1), invalid);
  TensorSpec bad = good;
  bad.datatype = DataType::kBytes;
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.datatype = DataType::kInvalid;
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad = good;
  bad.shape = {};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.shape = {1, -2};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.shape = {int64_t{1} << 61, 4};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.shape = {int64_t{1} << 62, 0};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
}

TEST_P(CodeErrorsTest, ParityOutputSpecRefusesOtherThanFp32) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  for (DataType datatype :
       {DataType::kInvalid, DataType::kFp16, DataType::kFp64, DataType::kUint8,
        DataType::kBytes}) {
    EXPECT_THAT(code_->ParityOutputSpec({"logits", datatype, {1, 7}}), invalid);
  }
  EXPECT_THAT(code_->ParityOutputSpec({"logits", DataType::kFp32, {}}),
              invalid);
}

TEST_P(CodeErrorsTest, EncodeRefusesWrongArguments) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const CodedGroup group = MakeGroup(DataType::kFp32, k(), /*batch=*/2);
  const std::vector<TensorView> members = group.MemberViews();
  OwnedTensor parity = group.parities[0];
  ASSERT_THAT(code_->Encode(0, members, parity.MutableView()), IsOk());

  EXPECT_THAT(code_->Encode(-1, members, parity.MutableView()), invalid);
  EXPECT_THAT(code_->Encode(r(), members, parity.MutableView()), invalid);
  EXPECT_THAT(code_->Encode(0, {}, parity.MutableView()), invalid);
  std::vector<TensorView> too_many = members;
  too_many.resize(static_cast<size_t>(k()) + 1, members[0]);
  EXPECT_THAT(code_->Encode(0, too_many, parity.MutableView()), invalid);
  too_many.resize(1000, members[0]);
  EXPECT_THAT(code_->Encode(0, too_many, parity.MutableView()), invalid);

  // A last member that differs: the only one, if k is 1.
  const auto expect_refused = [&](const TensorView& last) {
    std::vector<TensorView> wrong = members;
    wrong.back() = last;
    EXPECT_THAT(code_->Encode(0, wrong, parity.MutableView()), invalid);
  };
  const OwnedTensor smaller =
      OwnedTensor::Zeros(DataType::kFp32, MemberShape(1));
  std::vector<int64_t> longer = MemberShape(2);
  longer.back() *= 4;
  const OwnedTensor bytes = OwnedTensor::Zeros(DataType::kUint8, longer);
  const OwnedTensor words =
      OwnedTensor::Zeros(DataType::kInt32, MemberShape(2));
  expect_refused(smaller.View());
  expect_refused(bytes.View());
  expect_refused(words.View());
  TensorView cut = members.back();
  cut.bytes.remove_suffix(4);
  expect_refused(cut);
  const int64_t huge_shape[] = {int64_t{1} << 62, 0, 5};
  expect_refused({DataType::kFp32, huge_shape, {}});
  expect_refused({DataType::kFp32, {}, cut.bytes.first(4)});
  expect_refused({DataType::kBytes, members.back().shape, cut.bytes});

  OwnedTensor wrong_type = OwnedTensor::Zeros(DataType::kInt32, parity.shape);
  EXPECT_THAT(code_->Encode(0, members, wrong_type.MutableView()), invalid);
  OwnedTensor wrong_shape = parity;
  wrong_shape.shape.push_back(1);
  EXPECT_THAT(code_->Encode(0, members, wrong_shape.MutableView()), invalid);
  OwnedTensor wrong_size = parity;
  wrong_size.bytes.resize(parity.bytes.size() - 4);
  EXPECT_THAT(code_->Encode(0, members, wrong_size.MutableView()), invalid);
}

TEST_P(CodeErrorsTest, DecodeRefusesWrongArguments) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const CodedGroup group = MakeGroup(DataType::kFp32, k(), /*batch=*/2);
  const Slots slots = group.Arrived(Everything() & ~1U);
  OwnedTensor result = MakeResult(2);
  ASSERT_THAT(code_->Decode(k(), slots, 0, result.MutableView()), IsOk());

  EXPECT_THAT(code_->Decode(0, slots, 0, result.MutableView()), invalid);
  EXPECT_THAT(code_->Decode(k() + 1, slots, 0, result.MutableView()), invalid);
  EXPECT_THAT(code_->Decode(k(), slots, -1, result.MutableView()), invalid);
  EXPECT_THAT(code_->Decode(k(), slots, k(), result.MutableView()), invalid);
  EXPECT_FALSE(code_->Suffices(k(), Everything(), k()));
  EXPECT_FALSE(code_->Suffices(k(), Everything(), -1));
  EXPECT_FALSE(code_->Suffices(k() + 1, Everything(), 0));
  EXPECT_FALSE(code_->Suffices(0, Everything(), 0));
  Slots fewer(slots.begin(), slots.end() - 1);
  EXPECT_THAT(code_->Decode(k(), fewer, 0, result.MutableView()), invalid);
  Slots more = slots;
  more.push_back(slots.back());
  EXPECT_THAT(code_->Decode(k(), more, 0, result.MutableView()), invalid);
  more.resize(100, slots.back());
  EXPECT_THAT(code_->Decode(k(), more, 0, result.MutableView()), invalid);

  OwnedTensor wide = OwnedTensor::Zeros(DataType::kFp64, {2, kNumClasses});
  EXPECT_THAT(code_->Decode(k(), slots, 0, wide.MutableView()), invalid);
  OwnedTensor other = MakeResult(1);
  EXPECT_THAT(code_->Decode(k(), slots, 0, other.MutableView()), invalid);
  OwnedTensor scalar = OwnedTensor::Zeros(DataType::kFp32, {});
  EXPECT_THAT(code_->Decode(k(), slots, 0, scalar.MutableView()), invalid);
  OwnedTensor cut = result;
  cut.bytes.resize(cut.bytes.size() - 4);
  EXPECT_THAT(code_->Decode(k(), slots, 0, cut.MutableView()), invalid);

  // Answers of another kind, in all parities so that none is left.
  const auto expect_refused = [&](auto change) {
    Slots wrong = slots;
    for (size_t slot = static_cast<size_t>(k()); slot < wrong.size(); ++slot) {
      change(*wrong[slot]);
    }
    EXPECT_THAT(code_->Decode(k(), wrong, 0, result.MutableView()), invalid);
  };
  expect_refused(
      [](TensorView& answer) { answer.datatype = DataType::kInt32; });
  expect_refused([](TensorView& answer) { answer.bytes.remove_suffix(4); });
  expect_refused([](TensorView& answer) { answer.shape = {}; });
  const int64_t transposed[] = {kNumClasses, 2};
  expect_refused([&](TensorView& answer) { answer.shape = transposed; });
}

TEST_P(CodeErrorsTest, RefusesToDecodeWhatIsNotFinite) {
  using Limits = std::numeric_limits<double>;
  for (int num_members : GroupSizes()) {
    const CodedGroup group =
        MakeGroup(DataType::kFp32, num_members, /*batch=*/2);
    const ArrivalMask arrived = Everything() & ~1U;
    OwnedTensor result = MakeResult(2);
    for (double bad :
         {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
      // In every parity, so that none is left to decode with.
      CodedGroup poisoned = group;
      for (int p = 0; p < r(); ++p) {
        OwnedTensor& answer = poisoned.outputs[static_cast<size_t>(k() + p)];
        std::vector<double> values = answer.Values();
        values[kNumClasses + 1] = bad;
        answer = OwnedTensor::Of(DataType::kFp32, answer.shape, values);
      }
      EXPECT_THAT(code_->Decode(num_members, poisoned.Arrived(arrived), 0,
                                result.MutableView()),
                  StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryScheme, CodeErrorsTest,
                         testing::ValuesIn(AllCodeSpecs()), CodeTestName);

}  // namespace
}  // namespace parm
