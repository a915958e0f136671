#include "backends/finite_check.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace parm {
namespace {

template <typename T>
bool Check(DataType datatype, const std::vector<T>& values) {
  // One byte off: frames may begin at any address.
  std::vector<std::byte> bytes(values.size() * sizeof(T) + 1);
  std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(T));
  return AllFinite(datatype, absl::MakeConstSpan(bytes).subspan(1));
}

TEST(FiniteCheckTest, FindsNanAndInfinityAtEveryPlace) {
  constexpr size_t kNumValues = 19;  // fills no vector register
  for (size_t place = 0; place < kNumValues; ++place) {
    std::vector<float> floats(kNumValues, 1.5F);
    EXPECT_TRUE(Check(DataType::kFp32, floats));
    floats[place] = std::nanf("");
    EXPECT_FALSE(Check(DataType::kFp32, floats));
    floats[place] = -std::numeric_limits<float>::infinity();
    EXPECT_FALSE(Check(DataType::kFp32, floats));
    std::vector<double> doubles(kNumValues, -2);
    EXPECT_TRUE(Check(DataType::kFp64, doubles));
    doubles[place] = std::nan("");
    EXPECT_FALSE(Check(DataType::kFp64, doubles));
  }
}

TEST(FiniteCheckTest, KnowsBothSixteenBitFormats) {
  // 0x7c00 is infinity in FP16 and a large number in BF16.
  EXPECT_FALSE(Check<uint16_t>(DataType::kFp16, {0x3c00, 0x7c00}));
  EXPECT_TRUE(Check<uint16_t>(DataType::kBf16, {0x3c00, 0x7c00}));
  EXPECT_FALSE(Check<uint16_t>(DataType::kBf16, {0x7fc0}));
}

TEST(FiniteCheckTest, IntegersAreAlwaysFinite) {
  EXPECT_TRUE(Check<uint8_t>(DataType::kUint8, {255, 255, 255, 255}));
  EXPECT_TRUE(Check<int64_t>(DataType::kInt64, {-1}));
}

}  // namespace
}  // namespace parm
