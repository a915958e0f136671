// Schemes `tile` and `stack`, whose parity models answer [k, batch, ...], with
// numbers that can be followed by eye. Their properties over all sizes and
// patterns are in code_contract_test.cc, and the tiling in
// picture_grid_test.cc.

#include <limits>
#include <optional>
#include <vector>

#include "encoder/code.h"
#include "encoder/stack_code.h"
#include "encoder/tile_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<const Code> Stack(int k) {
  return kStackScheme.create({.scheme = "stack", .k = k});
}

TEST(StackCodeTest, PutsMembersBehindEachOtherSampleBySample) {
  // Batches of two samples of one channel.
  const OwnedTensor a =
      OwnedTensor::Of(DataType::kUint8, {2, 1, 2}, {1, 2, 3, 4});
  const OwnedTensor b =
      OwnedTensor::Of(DataType::kUint8, {2, 1, 2}, {5, 6, 7, 8});
  OwnedTensor parity = OwnedTensor::Zeros(DataType::kUint8, {2, 2, 2});
  ASSERT_THAT(Stack(2)->Encode(0, {a.View(), b.View()}, parity.MutableView()),
              IsOk());
  EXPECT_THAT(parity.Values(), ElementsAre(1, 2, 5, 6, 3, 4, 7, 8));
}

TEST(StackCodeTest, RepeatsMembersOfShortGroups) {
  const OwnedTensor a = OwnedTensor::Of(DataType::kFp32, {1, 1}, {1});
  const OwnedTensor b = OwnedTensor::Of(DataType::kFp32, {1, 1}, {2});
  OwnedTensor parity = OwnedTensor::Zeros(DataType::kFp32, {1, 3});
  ASSERT_THAT(Stack(3)->Encode(0, {a.View(), b.View()}, parity.MutableView()),
              IsOk());
  EXPECT_THAT(parity.Values(), ElementsAre(1, 2, 1));
}

TEST(StackCodeTest, MultipliesChannelsOrFeatures) {
  const TensorSpec picture = {"x", DataType::kFp16, {2, 3, 4, 5}};
  EXPECT_THAT(Stack(4)->ParityQuerySpec(picture, 1),
              IsOkAndHolds(TensorSpec{"x", DataType::kFp16, {2, 12, 4, 5}}));
  const TensorSpec vector = {"x", DataType::kInt8, {-1, 7}};
  EXPECT_THAT(Stack(4)->ParityQuerySpec(vector, 4),
              IsOkAndHolds(TensorSpec{"x", DataType::kInt8, {-1, 28}}));
  const TensorSpec variable = {"x", DataType::kInt8, {-1, -1}};
  EXPECT_THAT(Stack(4)->ParityQuerySpec(variable, 4), IsOkAndHolds(variable));
}

TEST(StackCodeTest, RefusesMembersWithoutChannels) {
  const OwnedTensor member = OwnedTensor::Zeros(DataType::kFp32, {4});
  OwnedTensor parity = OwnedTensor::Zeros(DataType::kFp32, {8});
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr("want [batch,channels,...]"));
  EXPECT_THAT(Stack(2)->ParityQuerySpec({"x", DataType::kFp32, {4}}, 2),
              refused);
  EXPECT_THAT(
      Stack(2)->Encode(0, {member.View(), member.View()}, parity.MutableView()),
      refused);
}

TEST(StackCodeTest, RefusesChannelsThatOverflow) {
  const int64_t huge = std::numeric_limits<int64_t>::max() / 2;
  const int64_t shape[] = {0, huge};
  const TensorView member = {DataType::kUint8, shape, {}};
  OwnedTensor parity = OwnedTensor::Zeros(DataType::kUint8, {0, 1});
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Stack(16)->ParityQuerySpec({"x", DataType::kUint8, {0, huge}}, 2),
              refused);
  EXPECT_THAT(
      Stack(16)->ParityQuerySpec(
          {"x", DataType::kUint8, {int64_t{1} << 30, int64_t{1} << 30}}, 2),
      refused);
  EXPECT_THAT(Stack(16)->Encode(0, {member, member}, parity.MutableView()),
              refused);
}

TEST(StackCodeTest, CutsTheLostMembersSliceOut) {
  const OwnedTensor answer =
      OwnedTensor::Of(DataType::kFp32, {2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {2, 2});
  PARM_ASSERT_OK_AND_ASSIGN(
      const DecodeReport report,
      Stack(2)->Decode(2, {std::nullopt, std::nullopt, answer.View()}, 1,
                       result.MutableView()));
  EXPECT_THAT(result.Values(), ElementsAre(5, 6, 7, 8));
  EXPECT_EQ(report.noise_gain, 1);
}

// The model answers k slices whatever the group holds; `pack` answers n.
TEST(TileCodeTest, AnswersOfShortGroupsHaveAllSlices) {
  const auto code = kTileScheme.create({.scheme = "tile", .k = 4});
  const OwnedTensor answer =
      OwnedTensor::Of(DataType::kFp32, {4, 1, 1}, {1, 2, 3, 4});
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {1, 1});
  std::vector<std::optional<TensorView>> outputs(5);
  outputs[4] = answer.View();
  ASSERT_THAT(code->Decode(2, outputs, 1, result.MutableView()), IsOk());
  EXPECT_THAT(result.Values(), ElementsAre(2));

  const OwnedTensor packed = OwnedTensor::Zeros(DataType::kFp32, {4, 1});
  outputs[4] = packed.View();
  EXPECT_THAT(code->Decode(2, outputs, 1, result.MutableView()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("4 times [1,1] on an axis of its own")));
}

// Both losses of a group from one answer, with no sibling here.
TEST(TileCodeTest, RebuildsSeveralLossesFromOneAnswer) {
  const auto code = kTileScheme.create({.scheme = "tile", .k = 2});
  const OwnedTensor answer =
      OwnedTensor::Of(DataType::kFp32, {2, 1, 2}, {1, 2, 3, 4});
  const std::vector<std::optional<TensorView>> outputs = {
      std::nullopt, std::nullopt, answer.View()};
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {1, 2});
  for (int lost = 0; lost < 2; ++lost) {
    EXPECT_TRUE(code->Suffices(2, 0b100, lost));
    ASSERT_THAT(code->Decode(2, outputs, lost, result.MutableView()), IsOk());
    EXPECT_THAT(result.Values(), ElementsAre(1 + 2 * lost, 2 + 2 * lost));
  }
}

}  // namespace
}  // namespace parm
