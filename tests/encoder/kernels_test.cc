// The plain kernels against float64 and exact integers, and every instruction
// set that this CPU has against the plain ones.

#include "encoder/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20240601;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Around the widths of a vector (4, 8, 16 floats; four to a block), and zero.
const std::vector<size_t> kCounts = {
    0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 1000};

/// Bytes that start `offset` bytes off an alignment of 64.
class Unaligned {
 public:
  Unaligned(size_t size, size_t offset) : storage_(size + 64 + offset) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    data_ = storage_.data() + (64 - address % 64) % 64 + offset;
  }
  Unaligned(Unaligned&&) = default;
  std::byte* data() { return data_; }

  template <typename T>
  void Set(size_t index, T value) {
    std::memcpy(data_ + index * sizeof(T), &value, sizeof(T));
  }
  template <typename T>
  T Get(size_t index) const {
    T value;
    std::memcpy(&value, data_ + index * sizeof(T), sizeof(T));
    return value;
  }

 private:
  std::vector<std::byte> storage_;
  std::byte* data_;
};

std::vector<const std::byte*> Pointers(std::vector<Unaligned>& buffers) {
  std::vector<const std::byte*> pointers;
  for (Unaligned& buffer : buffers) pointers.push_back(buffer.data());
  return pointers;
}

std::vector<Unaligned> RandomFloats(std::mt19937& random, size_t num_inputs,
                                    size_t count, size_t offset) {
  std::normal_distribution<float> normal;
  std::vector<Unaligned> inputs;
  for (size_t j = 0; j < num_inputs; ++j) {
    // A different misalignment for each input.
    inputs.emplace_back(count * sizeof(float), offset == 0 ? 0 : offset + j);
    for (size_t i = 0; i < count; ++i) inputs[j].Set(i, normal(random));
  }
  return inputs;
}

std::vector<Unaligned> RandomBytes(std::mt19937& random, size_t num_inputs,
                                   size_t count, size_t offset) {
  std::uniform_int_distribution<int> byte(0, 255);
  std::vector<Unaligned> inputs;
  for (size_t j = 0; j < num_inputs; ++j) {
    inputs.emplace_back(count, offset + j);
    for (size_t i = 0; i < count; ++i) {
      inputs[j].Set(i, static_cast<uint8_t>(byte(random)));
    }
  }
  return inputs;
}

// Bit for bit, but one NaN is as good as another.
void ExpectSameFloats(const Unaligned& got, const Unaligned& want,
                      size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (std::isnan(want.Get<float>(i))) {
      EXPECT_TRUE(std::isnan(got.Get<float>(i))) << "at " << i;
    } else {
      EXPECT_EQ(got.Get<uint32_t>(i), want.Get<uint32_t>(i)) << "at " << i;
    }
  }
}

/// One instance per instruction set.
class KernelsTest : public testing::TestWithParam<int64_t> {
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

TEST_P(KernelsTest, WeightedSumHasThePlainTwinsBits) {
  std::mt19937 random(kSeed);
  std::normal_distribution<float> normal;
  for (size_t num_inputs = 1; num_inputs <= kMaxKernelInputs; ++num_inputs) {
    for (size_t count : kCounts) {
      for (size_t offset : {size_t{0}, size_t{1}, size_t{4}}) {
        for (bool unit_weights : {false, true}) {
          SCOPED_TRACE(testing::Message()
                       << "num_inputs=" << num_inputs << " count=" << count
                       << " offset=" << offset << " unit=" << unit_weights);
          auto inputs = RandomFloats(random, num_inputs, count, offset);
          std::vector<float> weights(num_inputs, 1.0F);
          if (!unit_weights) {
            for (float& weight : weights) weight = normal(random);
          }
          Unaligned got(count * sizeof(float), offset);
          Unaligned want(count * sizeof(float), 0);
          WeightedSum(weights, Pointers(inputs), count, got.data());
          WeightedSumPlain(weights, Pointers(inputs), count, want.data());
          ExpectSameFloats(got, want, count);
        }
      }
    }
  }
}

TEST_P(KernelsTest, WeightedSumCarriesWhatIsNotFinite) {
  std::mt19937 random(kSeed);
  for (size_t count : kCounts) {
    for (size_t at = 0; at < count; at += 1 + count / 7) {
      for (float bad : {kNan, kInfinity, -kInfinity}) {
        auto inputs = RandomFloats(random, 3, count, /*offset=*/4);
        inputs[1].Set(at, bad);
        Unaligned got(count * sizeof(float), 1);
        Unaligned want(count * sizeof(float), 0);
        const std::vector<float> weights = {1, -2, 1};
        WeightedSum(weights, Pointers(inputs), count, got.data());
        WeightedSumPlain(weights, Pointers(inputs), count, want.data());
        ExpectSameFloats(got, want, count);
        EXPECT_FALSE(std::isfinite(got.Get<float>(at)));
      }
    }
  }
}

TEST_P(KernelsTest, WritesNothingBeyondTheLastElement) {
  std::mt19937 random(kSeed);
  for (size_t count : kCounts) {
    auto floats = RandomFloats(random, 3, count, /*offset=*/4);
    Unaligned sum(count * sizeof(float) + 1, 1);
    sum.Set(count * sizeof(float), uint8_t{0xA5});
    WeightedSum(std::vector<float>{1, 1, 1}, Pointers(floats), count,
                sum.data());
    EXPECT_EQ(sum.Get<uint8_t>(count * sizeof(float)), 0xA5);

    auto bytes = RandomBytes(random, 3, count, /*offset=*/1);
    Unaligned mean(count + 1, 1);
    mean.Set(count, uint8_t{0xA5});
    RoundedMean(Pointers(bytes), count, mean.data());
    EXPECT_EQ(mean.Get<uint8_t>(count), 0xA5);
  }
}

TEST_P(KernelsTest, RoundedMeanIsThePlainTwins) {
  std::mt19937 random(kSeed);
  for (size_t num_inputs = 1; num_inputs <= kMaxKernelInputs; ++num_inputs) {
    for (size_t count : kCounts) {
      SCOPED_TRACE(testing::Message()
                   << "num_inputs=" << num_inputs << " count=" << count);
      auto inputs = RandomBytes(random, num_inputs, count, /*offset=*/1);
      Unaligned got(count, 3);
      Unaligned want(count, 0);
      RoundedMean(Pointers(inputs), count, got.data());
      RoundedMeanPlain(Pointers(inputs), count, want.data());
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(got.Get<uint8_t>(i), want.Get<uint8_t>(i)) << "at " << i;
      }
    }
  }
}

// The SIMD kernel divides by a reciprocal: no sum may round differently.
TEST_P(KernelsTest, RoundedMeanIsExactForEverySum) {
  for (size_t num_inputs = 1; num_inputs <= kMaxKernelInputs; ++num_inputs) {
    const size_t num_sums = 255 * num_inputs + 1;
    std::vector<Unaligned> inputs;
    for (size_t j = 0; j < num_inputs; ++j) inputs.emplace_back(num_sums, j);
    for (size_t sum = 0; sum < num_sums; ++sum) {
      size_t left = sum;
      for (Unaligned& input : inputs) {
        const size_t value = std::min<size_t>(left, 255);
        input.Set(sum, static_cast<uint8_t>(value));
        left -= value;
      }
    }
    Unaligned got(num_sums, 0);
    RoundedMean(Pointers(inputs), num_sums, got.data());
    for (size_t sum = 0; sum < num_sums; ++sum) {
      const double mean =
          static_cast<double>(sum) / static_cast<double>(num_inputs);
      // std::round takes halves away from zero.
      ASSERT_EQ(got.Get<uint8_t>(sum), std::round(mean))
          << "sum=" << sum << " num_inputs=" << num_inputs;
    }
  }
}

TEST_P(KernelsTest, RoundedWeightedSumIsThePlainTwins) {
  std::mt19937 random(kSeed);
  // Sums leave 0..255 on both sides.
  std::normal_distribution<float> normal;
  for (size_t num_inputs = 1; num_inputs <= kMaxKernelInputs; ++num_inputs) {
    for (size_t count : kCounts) {
      SCOPED_TRACE(testing::Message()
                   << "num_inputs=" << num_inputs << " count=" << count);
      auto inputs = RandomBytes(random, num_inputs, count, /*offset=*/1);
      std::vector<float> weights(num_inputs);
      for (float& weight : weights) weight = normal(random);
      Unaligned got(count + 1, 3);
      got.Set(count, uint8_t{0xA5});
      Unaligned want(count, 0);
      RoundedWeightedSum(weights, 100, Pointers(inputs), count, got.data());
      RoundedWeightedSumPlain(weights, 100, Pointers(inputs), count,
                              want.data());
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(got.Get<uint8_t>(i), want.Get<uint8_t>(i)) << "at " << i;
      }
      EXPECT_EQ(got.Get<uint8_t>(count), 0xA5);
    }
  }
}

TEST_P(KernelsTest, AllFiniteFindsOneBadValueAnywhere) {
  std::mt19937 random(kSeed);
  for (size_t count : kCounts) {
    auto inputs = RandomFloats(random, 1, count, /*offset=*/1);
    Unaligned& values = inputs[0];
    EXPECT_TRUE(AllFinite(values.data(), count));
    EXPECT_TRUE(AllFinitePlain(values.data(), count));
    for (size_t at = 0; at < count; ++at) {
      const auto good = values.Get<float>(at);
      for (float bad : {kNan, -kNan, kInfinity, -kInfinity}) {
        values.Set(at, bad);
        EXPECT_FALSE(AllFinite(values.data(), count)) << "at " << at;
        EXPECT_FALSE(AllFinitePlain(values.data(), count)) << "at " << at;
      }
      values.Set(at, good);
    }
  }
}

TEST_P(KernelsTest, AllFiniteTakesTheLargestAndSmallestFloats) {
  using Limits = std::numeric_limits<float>;
  for (float value : {Limits::max(), Limits::lowest(), Limits::min(),
                      Limits::denorm_min(), -0.0F}) {
    Unaligned values(33 * sizeof(float), 4);
    for (size_t i = 0; i < 33; ++i) values.Set(i, value);
    EXPECT_TRUE(AllFinite(values.data(), 33)) << value;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryInstructionSet, KernelsTest,
                         testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const testing::TestParamInfo<int64_t>& tested) {
                           return std::string(hwy::TargetName(tested.param));
                         });

TEST(PlainKernelsTest, WeightedSumMatchesFloat64) {
  std::mt19937 random(kSeed);
  std::normal_distribution<float> normal;
  const size_t count = 257;
  for (size_t num_inputs = 1; num_inputs <= kMaxKernelInputs; ++num_inputs) {
    auto inputs = RandomFloats(random, num_inputs, count, /*offset=*/1);
    std::vector<float> weights(num_inputs);
    for (float& weight : weights) weight = normal(random);
    Unaligned got(count * sizeof(float), 0);
    WeightedSumPlain(weights, Pointers(inputs), count, got.data());
    for (size_t i = 0; i < count; ++i) {
      double want = 0;
      double magnitude = 0;
      for (size_t j = 0; j < num_inputs; ++j) {
        const double term = double{weights[j]} * inputs[j].Get<float>(i);
        want += term;
        magnitude += std::abs(term);
      }
      EXPECT_NEAR(got.Get<float>(i), want, 1e-6 * magnitude);
    }
  }
}

TEST(PlainKernelsTest, RoundedWeightedSumStaysWithinABytes) {
  const auto of = [](uint8_t a, uint8_t b) {
    const std::byte inputs[] = {std::byte{a}, std::byte{b}};
    const std::byte* pointers[] = {&inputs[0], &inputs[1]};
    const std::vector<float> weights = {2, -0.5};
    std::byte sum;
    RoundedWeightedSumPlain(weights, 10, pointers, 1, &sum);
    return static_cast<int>(sum);
  };
  EXPECT_EQ(of(3, 4), 14);
  EXPECT_EQ(of(3, 3), 15);     // 14.5
  EXPECT_EQ(of(0, 255), 0);    // -117.5
  EXPECT_EQ(of(200, 0), 255);  // 410
}

TEST(PlainKernelsTest, RoundedMeanTakesHalvesUp) {
  const auto mean_of = [](uint8_t a, uint8_t b) {
    const std::byte inputs[] = {std::byte{a}, std::byte{b}};
    const std::byte* pointers[] = {&inputs[0], &inputs[1]};
    std::byte mean;
    RoundedMeanPlain(pointers, 1, &mean);
    return static_cast<int>(mean);
  };
  EXPECT_EQ(mean_of(0, 1), 1);        // 0.5
  EXPECT_EQ(mean_of(2, 3), 3);        // 2.5
  EXPECT_EQ(mean_of(2, 4), 3);        // 3
  EXPECT_EQ(mean_of(254, 255), 255);  // 254.5
  EXPECT_EQ(mean_of(255, 255), 255);
}

}  // namespace
}  // namespace parm
