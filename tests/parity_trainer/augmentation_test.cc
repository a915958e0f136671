#include "parity_trainer/augmentation.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

/// Pictures of 1 to 12 in rows of four, two channels, as bytes.
HostTensor Pictures(int64_t count) {
  HostTensor pictures{DataType::kUint8, {count, 2, 3, 4}, ""};
  for (int64_t plane = 0; plane < 2 * count; ++plane) {
    for (char value = 1; value <= 12; ++value) pictures.bytes.push_back(value);
  }
  return pictures;
}

TEST(AugmentationTest, EveryShiftAndMirrorOccurs) {
  constexpr int64_t kCount = 400;
  HostTensor pictures = Pictures(kCount);
  Augment({.shift = 1, .mirror = true}, /*seed=*/7, &pictures);
  std::set<std::string> seen;
  for (size_t i = 0; i < kCount; ++i) {
    const std::string first = pictures.bytes.substr(i * 24, 12);
    // Both channels move alike.
    EXPECT_EQ(pictures.bytes.substr(i * 24 + 12, 12), first);
    seen.insert(first);
  }
  EXPECT_EQ(seen.size(), 3U * 3U * 2U);
  EXPECT_EQ(seen.count({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), 1U);
  EXPECT_EQ(seen.count({4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9}), 1U);
  // Down and to the right by one; what is gone is 0.
  EXPECT_EQ(seen.count({0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7}), 1U);
}

TEST(AugmentationTest, FloatsMoveAsBytesDo) {
  HostTensor bytes = Pictures(20);
  HostTensor floats{DataType::kFp32, bytes.shape, ""};
  for (const char value : bytes.bytes) {
    const auto number = static_cast<float>(value);
    floats.bytes.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  Augment({.shift = 2, .mirror = true}, 7, &bytes);
  Augment({.shift = 2, .mirror = true}, 7, &floats);
  for (size_t i = 0; i < bytes.bytes.size(); ++i) {
    ASSERT_EQ(floats.floats()[i], static_cast<float>(bytes.bytes[i])) << i;
  }
}

TEST(AugmentationTest, SeedAloneDecides) {
  HostTensor first = Pictures(20);
  HostTensor again = Pictures(20);
  HostTensor other = Pictures(20);
  Augment({.shift = 2}, 7, &first);
  Augment({.shift = 2}, 7, &again);
  Augment({.shift = 2}, 8, &other);
  EXPECT_EQ(first.bytes, again.bytes);
  EXPECT_NE(first.bytes, other.bytes);
}

TEST(AugmentationTest, NoneLeavesPicturesAlone) {
  HostTensor pictures = Pictures(20);
  Augment({}, 7, &pictures);
  EXPECT_EQ(pictures.bytes, Pictures(20).bytes);
}

TEST(AugmentationTest, OnlyPicturesAndShortShiftsAreTaken) {
  EXPECT_THAT(CheckAugmentation({}, {784}), IsOk());
  EXPECT_THAT(CheckAugmentation({.shift = 2, .mirror = true}, {1, 3, 4}),
              IsOk());
  EXPECT_THAT(CheckAugmentation({.mirror = true}, {784}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("got samples of [784]")));
  EXPECT_THAT(CheckAugmentation({.shift = 3}, {1, 3, 4}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("got 3, want 0 to 2 pixels")));
}

}  // namespace
}  // namespace parm
