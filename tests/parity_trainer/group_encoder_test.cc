#include "parity_trainer/group_encoder.h"

#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Dataset MakeData() {
  Dataset data{.datatype = DataType::kUint8,
               .sample_shape = {1, kSide, kSide},
               .num_classes = kClasses};
  data.test = {.values = Pictures(6, 3), .labels = {0, 1, 2, 3, 0, 1}};
  return data;
}

uint8_t Pixel(const Dataset& data, int64_t sample, size_t i) {
  return static_cast<uint8_t>(
      data.test.values[static_cast<size_t>(sample * kSide * kSide) + i]);
}

std::unique_ptr<const Code> MakeCode(const std::string& scheme, int k) {
  return *CreateCode({.scheme = scheme, .k = k, .r = 1});
}

TEST(GroupEncoderTest, SumOfFloatsAddsMembersOfEachGroup) {
  const Dataset data = MakeData();
  PARM_ASSERT_OK_AND_ASSIGN(
      const HostTensor parity,
      EncodeGroups(*MakeCode("sum", 2), 0, data, data.test, {0, 4, 1, 5},
                   DataType::kFp32));
  // Groups are {0, 1} and {4, 5}: the indices go slot by slot.
  ASSERT_THAT(parity.shape, ElementsAre(2, 1, kSide, kSide));
  for (size_t i = 0; i < kSide * kSide; ++i) {
    EXPECT_EQ(parity.floats()[i], Pixel(data, 0, i) + Pixel(data, 1, i));
    EXPECT_EQ(parity.floats()[kSide * kSide + i],
              Pixel(data, 4, i) + Pixel(data, 5, i));
  }
}

TEST(GroupEncoderTest, SumOfBytesIsTheRoundedMean) {
  const Dataset data = MakeData();
  PARM_ASSERT_OK_AND_ASSIGN(
      const HostTensor parity,
      EncodeGroups(*MakeCode("sum", 3), 0, data, data.test, {0, 1, 2},
                   DataType::kUint8));
  ASSERT_EQ(parity.datatype, DataType::kUint8);
  ASSERT_THAT(parity.shape, ElementsAre(1, 1, kSide, kSide));
  for (size_t i = 0; i < kSide * kSide; ++i) {
    const double mean =
        (Pixel(data, 0, i) + Pixel(data, 1, i) + Pixel(data, 2, i)) / 3.0;
    EXPECT_EQ(static_cast<uint8_t>(parity.bytes[i]), std::round(mean));
  }
}

TEST(GroupEncoderTest, PackedGroupsLieSlotAfterSlot) {
  const Dataset data = MakeData();
  const std::vector<int64_t> slot_major = {0, 4, 1, 5};
  PARM_ASSERT_OK_AND_ASSIGN(
      const HostTensor parity,
      EncodeGroups(*MakeCode("pack", 2), 0, data, data.test, slot_major,
                   DataType::kUint8));
  EXPECT_THAT(parity.shape, ElementsAre(4, 1, kSide, kSide));
  EXPECT_EQ(parity.bytes,
            GatherSamples(data, data.test, slot_major, DataType::kUint8).bytes);
}

TEST(GroupEncoderTest, UnknownParityIndexIsInvalid) {
  const Dataset data = MakeData();
  EXPECT_THAT(EncodeGroups(*MakeCode("sum", 2), 1, data, data.test, {0, 1},
                           DataType::kFp32),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(GroupEncoderTest, SlicesHoldTheChosenRows) {
  const Dataset data = MakeData();
  const HostTensor all =
      GatherSamples(data, data.test, {0, 1, 2, 3}, DataType::kUint8);
  const HostTensor rows = SliceRows(all, 1, 2);
  EXPECT_THAT(rows.shape, ElementsAre(2, 1, kSide, kSide));
  EXPECT_EQ(rows.bytes,
            GatherSamples(data, data.test, {1, 2}, DataType::kUint8).bytes);
}

}  // namespace
}  // namespace parm
