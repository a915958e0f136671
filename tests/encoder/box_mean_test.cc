// The plain shrinking loops by eye, and every instruction set that this CPU has
// against them.

#include "encoder/box_mean.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

constexpr uint32_t kSeed = 20240604;

// Results narrower than a vector, as wide, and wider, with a rest.
const std::vector<size_t> kWidths = {0, 1, 3, 4, 7, 8, 14, 16, 17, 31, 64, 71};

template <typename T>
std::vector<std::byte> AsBytes(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

template <typename T>
std::vector<T> FromBytes(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// A result in the middle of a wider one, from a source one byte off.
template <typename T>
struct Shrinking {
  Shrinking(std::mt19937& random, size_t box_rows, size_t box_columns,
            size_t num_rows, size_t num_columns)
      : in(1 + num_rows * box_rows * num_columns * box_columns * sizeof(T)),
        job{.in = in.data() + 1,
            .in_row_bytes = num_columns * box_columns * sizeof(T),
            .box_rows = box_rows,
            .box_columns = box_columns,
            .num_rows = num_rows,
            .num_columns = num_columns,
            .out = nullptr,
            .out_row_bytes = (num_columns + 2) * sizeof(T)} {
    std::normal_distribution<float> normal;
    std::uniform_int_distribution<int> byte(0, 255);
    for (size_t i = 0; i < (in.size() - 1) / sizeof(T); ++i) {
      const T value = std::is_same_v<T, float> ? static_cast<T>(normal(random))
                                               : static_cast<T>(byte(random));
      std::memcpy(in.data() + 1 + i * sizeof(T), &value, sizeof(T));
    }
  }

  /// The whole of the wider result; what lies around is 0xA5.
  std::vector<std::byte> Run(void (*shrink)(const BoxMeanJob&)) {
    std::vector<std::byte> out(job.num_rows * job.out_row_bytes + 2 * sizeof(T),
                               std::byte{0xA5});
    job.out = out.data() + sizeof(T);
    shrink(job);
    return out;
  }

  std::vector<std::byte> in;
  BoxMeanJob job;
};

/// One instance per instruction set.
class BoxMeanTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().DeInit();
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }

  template <typename T>
  void ExpectPlainTwinsBytes(void (*shrink)(const BoxMeanJob&),
                             void (*plain)(const BoxMeanJob&)) {
    std::mt19937 random(kSeed);
    for (size_t rows = 1; rows <= kMaxBoxSide; ++rows) {
      for (size_t columns = 1; columns <= kMaxBoxSide; ++columns) {
        for (size_t width : kWidths) {
          SCOPED_TRACE(testing::Message()
                       << rows << " x " << columns << " to width " << width);
          Shrinking<T> shrinking(random, rows, columns, 3, width);
          ASSERT_EQ(shrinking.Run(shrink), shrinking.Run(plain));
        }
      }
    }
  }
};

TEST_P(BoxMeanTest, FloatsHaveThePlainTwinsBits) {
  ExpectPlainTwinsBytes<float>(BoxMeanFp32, BoxMeanFp32Plain);
}

TEST_P(BoxMeanTest, BytesAreThePlainTwins) {
  ExpectPlainTwinsBytes<uint8_t>(BoxMeanUint8, BoxMeanUint8Plain);
}

TEST_P(BoxMeanTest, NegativeZerosStayNegative) {
  const std::vector<std::byte> in = AsBytes(std::vector<float>(64, -0.0F));
  std::vector<std::byte> out(16 * sizeof(float));
  BoxMeanFp32({.in = in.data(),
               .in_row_bytes = 32 * sizeof(float),
               .box_rows = 2,
               .box_columns = 2,
               .num_rows = 1,
               .num_columns = 16,
               .out = out.data(),
               .out_row_bytes = out.size()});
  for (float value : FromBytes<float>(out)) EXPECT_TRUE(std::signbit(value));
}

INSTANTIATE_TEST_SUITE_P(EveryInstructionSet, BoxMeanTest,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<int64_t>& tested) {
                           return std::string(hwy::TargetName(tested.param));
                         });

TEST(PlainBoxMeanTest, AveragesTheBoxOfEachPixel) {
  const std::vector<std::byte> in = AsBytes<float>({1, 2, 3, 4, 5, 6,  //
                                                    7, 8, 9, 10, 11, 12});
  std::vector<std::byte> out(3 * sizeof(float));
  BoxMeanFp32Plain({.in = in.data(),
                    .in_row_bytes = 6 * sizeof(float),
                    .box_rows = 2,
                    .box_columns = 2,
                    .num_rows = 1,
                    .num_columns = 3,
                    .out = out.data(),
                    .out_row_bytes = out.size()});
  EXPECT_THAT(FromBytes<float>(out), ElementsAre(4.5F, 6.5F, 8.5F));
}

TEST(PlainBoxMeanTest, TakesHalvesOfBytesUp) {
  const std::vector<std::byte> in = AsBytes<uint8_t>({0, 1, 2, 4, 254, 255});
  std::vector<std::byte> out(3);
  BoxMeanUint8Plain({.in = in.data(),
                     .in_row_bytes = 6,
                     .box_rows = 1,
                     .box_columns = 2,
                     .num_rows = 1,
                     .num_columns = 3,
                     .out = out.data(),
                     .out_row_bytes = 3});
  EXPECT_THAT(FromBytes<uint8_t>(out), ElementsAre(1, 3, 255));
}

}  // namespace
}  // namespace parm
