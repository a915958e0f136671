// The plain conversions against exact arithmetic on every 16-bit value, and
// every instruction set that this CPU has against the plain ones.

#include "encoder/half_float.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "encoder/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20240605;
constexpr size_t kNumHalves = 65536;

using Conversion = void (*)(const std::byte*, size_t, std::byte*);

template <typename Out, typename In>
std::vector<Out> Convert(Conversion convert, const std::vector<In>& in) {
  // One byte off any alignment.
  std::vector<std::byte> from(1 + in.size() * sizeof(In));
  std::vector<std::byte> to(1 + in.size() * sizeof(Out));
  if (!in.empty()) std::memcpy(from.data() + 1, in.data(), from.size() - 1);
  convert(from.data() + 1, in.size(), to.data() + 1);
  std::vector<Out> out(in.size());
  if (!in.empty()) std::memcpy(out.data(), to.data() + 1, to.size() - 1);
  return out;
}

std::vector<uint16_t> EveryHalf() {
  std::vector<uint16_t> halves(kNumHalves);
  for (size_t i = 0; i < kNumHalves; ++i) halves[i] = static_cast<uint16_t>(i);
  return halves;
}

// Around every value of a format and every tie between two, and any bits.
std::vector<float> TellingFloats(Conversion widen) {
  std::vector<float> floats;
  const std::vector<float> exact = Convert<float>(widen, EveryHalf());
  for (size_t i = 0; i + 1 < exact.size(); ++i) {
    const float tie = exact[i] / 2 + exact[i + 1] / 2;
    for (float value : {exact[i], tie}) {
      floats.push_back(value);
      floats.push_back(std::nextafter(value, HUGE_VALF));
      floats.push_back(std::nextafter(value, -HUGE_VALF));
    }
  }
  std::mt19937 random(kSeed);
  for (int i = 0; i < 100'000; ++i) {
    floats.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  }
  return floats;
}

bool IsNan(float value) { return std::isnan(value); }
bool IsNanFp16(uint16_t half) { return (half & 0x7FFFU) > 0x7C00U; }
bool IsNanBf16(uint16_t half) { return (half & 0x7FFFU) > 0x7F80U; }

template <typename T>
void ExpectSame(const std::vector<T>& got, const std::vector<T>& want,
                bool (*is_nan)(T)) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (is_nan(want[i])) {
      ASSERT_TRUE(is_nan(got[i])) << "at " << i;
    } else {
      ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(T)), 0) << "at " << i;
    }
  }
}

/// One instance per instruction set.
class HalfFloatTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().DeInit();
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
};

TEST_P(HalfFloatTest, WidensAsThePlainTwins) {
  const auto halves = EveryHalf();
  ExpectSame(Convert<float>(WidenFp16, halves),
             Convert<float>(WidenFp16Plain, halves), IsNan);
  ExpectSame(Convert<float>(WidenBf16, halves),
             Convert<float>(WidenBf16Plain, halves), IsNan);
}

TEST_P(HalfFloatTest, NarrowsAsThePlainTwins) {
  const auto fp16 = TellingFloats(WidenFp16Plain);
  ExpectSame(Convert<uint16_t>(NarrowToFp16, fp16),
             Convert<uint16_t>(NarrowToFp16Plain, fp16), IsNanFp16);
  const auto bf16 = TellingFloats(WidenBf16Plain);
  ExpectSame(Convert<uint16_t>(NarrowToBf16, bf16),
             Convert<uint16_t>(NarrowToBf16Plain, bf16), IsNanBf16);
}

TEST_P(HalfFloatTest, ConvertsAnyCountAndNoMore) {
  for (size_t count = 0; count < 40; ++count) {
    const std::vector<std::byte> halves(2 * count, std::byte{0x3C});
    std::vector<std::byte> floats(4 * count + 1, std::byte{0xA5});
    WidenFp16(halves.data(), count, floats.data());
    EXPECT_EQ(floats.back(), std::byte{0xA5});
    std::vector<std::byte> back(2 * count + 1, std::byte{0xA5});
    NarrowToFp16(floats.data(), count, back.data());
    EXPECT_EQ(back.back(), std::byte{0xA5});
    back.pop_back();
    EXPECT_EQ(back, halves);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryInstructionSet, HalfFloatTest,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<int64_t>& tested) {
                           return std::string(hwy::TargetName(tested.param));
                         });

TEST(PlainHalfFloatTest, WideningKnowsTheFormats) {
  const std::vector<uint16_t> fp16 = {0x3C00, 0xC000, 0x7BFF, 0x0001,
                                      0x0400, 0x8000, 0x7C00};
  EXPECT_THAT(
      Convert<float>(WidenFp16Plain, fp16),
      testing::ElementsAre(1.0F, -2.0F, 65504.0F, 0x1p-24F, 0x1p-14F, -0.0F,
                           std::numeric_limits<float>::infinity()));
  const std::vector<uint16_t> bf16 = {0x3F80, 0xC000, 0x7F7F};
  EXPECT_THAT(Convert<float>(WidenBf16Plain, bf16),
              testing::ElementsAre(1.0F, -2.0F, 0x1.FEp127F));
}

TEST(PlainHalfFloatTest, NarrowingUndoesWidening) {
  const auto halves = EveryHalf();
  ExpectSame(Convert<uint16_t>(NarrowToFp16Plain,
                               Convert<float>(WidenFp16Plain, halves)),
             halves, IsNanFp16);
  ExpectSame(Convert<uint16_t>(NarrowToBf16Plain,
                               Convert<float>(WidenBf16Plain, halves)),
             halves, IsNanBf16);
}

TEST(PlainHalfFloatTest, TiesGoToEven) {
  // Halfway between neighbours, and just beside.
  const std::vector<float> floats = {
      1 + 0x1p-11F, 1 + 3 * 0x1p-11F, 1 + 0x1.2p-11F, 0x1p-25F,
      3 * 0x1p-25F, 65519.0F,         65520.0F,       -65520.0F};
  EXPECT_THAT(Convert<uint16_t>(NarrowToFp16Plain, floats),
              testing::ElementsAre(0x3C00, 0x3C02, 0x3C01, 0x0000, 0x0002,
                                   0x7BFF, 0x7C00, 0xFC00));
  const std::vector<float> wide = {1 + 0x1p-8F, 1 + 3 * 0x1p-8F, 1 + 0x1.2p-8F};
  EXPECT_THAT(Convert<uint16_t>(NarrowToBf16Plain, wide),
              testing::ElementsAre(0x3F80, 0x3F82, 0x3F81));
}

// Longer than the pieces in which it is done.
TEST(PlainHalfFloatTest, WeightedSumsAreRoundedOnce) {
  for (size_t count : {size_t{0}, size_t{1}, size_t{255}, size_t{1000}}) {
    std::mt19937 random(kSeed);
    std::normal_distribution<float> normal;
    const std::vector<float> weights = {1, -2, 0.5F};
    std::vector<std::vector<std::byte>> halves;
    std::vector<std::vector<std::byte>> floats;
    std::vector<const std::byte*> half_inputs;
    std::vector<const std::byte*> float_inputs;
    for (size_t j = 0; j < weights.size(); ++j) {
      std::vector<float> values(count);
      for (float& value : values) value = normal(random);
      halves.emplace_back(2 * count + 1);
      NarrowToBf16Plain(reinterpret_cast<const std::byte*>(values.data()),
                        count, halves.back().data());
      floats.emplace_back(4 * count + 1);
      WidenBf16Plain(halves.back().data(), count, floats.back().data());
    }
    for (size_t j = 0; j < weights.size(); ++j) {
      half_inputs.push_back(halves[j].data());
      float_inputs.push_back(floats[j].data());
    }
    std::vector<std::byte> got(2 * count + 1);
    WeightedSumHalf(DataType::kBf16, weights, half_inputs, count, got.data());
    std::vector<std::byte> sum(4 * count + 1);
    WeightedSumPlain(weights, float_inputs, count, sum.data());
    std::vector<std::byte> want(2 * count + 1);
    NarrowToBf16Plain(sum.data(), count, want.data());
    EXPECT_EQ(got, want);
  }
}

}  // namespace
}  // namespace parm
