// The CUDA weighted sum against the plain twin, bit for bit. Without a device
// CTest shows this program as skipped.

#include "encoder/cuda/weighted_sum.h"

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "encoder/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20240609;

struct FreeDeviceMemory {
  void operator()(void* memory) const { cudaFree(memory); }
};

/// Floats on the device, `offset` floats behind its alignment.
class DeviceFloats {
 public:
  DeviceFloats(const std::vector<float>& values, size_t offset)
      : offset_(offset), size_(values.size()) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, (size_ + offset + 1) * sizeof(float)),
              cudaSuccess);
    memory_.reset(static_cast<float*>(memory));
    EXPECT_EQ(cudaMemcpy(data(), values.data(), size_ * sizeof(float),
                         cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  float* data() const { return memory_.get() + offset_; }

  std::vector<float> Read() const {
    std::vector<float> values(size_);
    EXPECT_EQ(cudaMemcpy(values.data(), data(), size_ * sizeof(float),
                         cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  std::unique_ptr<float, FreeDeviceMemory> memory_;
  size_t offset_;
  size_t size_;
};

class CudaWeightedSumTest : public testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<int> count = cuda::NumDevices();
    if (!count.ok()) {
      GTEST_SKIP() << "needs a GPU: " << std::string(count.status().message());
    }
  }

  /// Random inputs and weights through the device and the plain twin.
  void ExpectPlainTwinsBits(size_t num_inputs, size_t count, size_t offset) {
    std::normal_distribution<float> normal;
    std::vector<float> weights;
    std::vector<std::vector<float>> inputs;
    std::vector<DeviceFloats> device;
    for (size_t j = 0; j < num_inputs; ++j) {
      weights.push_back(normal(random_));
      std::vector<float>& values = inputs.emplace_back(count);
      for (float& value : values) value = normal(random_);
      device.emplace_back(values, offset);
    }
    std::vector<const float*> device_inputs;
    std::vector<const std::byte*> host_inputs;
    for (size_t j = 0; j < num_inputs; ++j) {
      device_inputs.push_back(device[j].data());
      host_inputs.push_back(
          reinterpret_cast<const std::byte*>(inputs[j].data()));
    }
    const DeviceFloats out(std::vector<float>(count, -1), offset);
    ASSERT_THAT(
        cuda::WeightedSum(weights, device_inputs, count, out.data(), nullptr),
        IsOk());
    std::vector<float> want(count);
    WeightedSumPlain(weights, host_inputs, count,
                     reinterpret_cast<std::byte*>(want.data()));
    const std::vector<float> got = out.Read();
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(std::memcmp(&got[i], &want[i], sizeof(float)), 0)
          << "at " << i << " of " << count << ", inputs=" << num_inputs
          << " offset=" << offset;
    }
  }

  std::mt19937 random_{kSeed};
};

TEST_F(CudaWeightedSumTest, HasThePlainTwinsBits) {
  for (size_t num_inputs = 1; num_inputs <= kMaxKernelInputs; ++num_inputs) {
    for (size_t count : {size_t{1}, size_t{3}, size_t{4}, size_t{1000},
                         size_t{3} * 224 * 224}) {
      for (size_t offset : {size_t{0}, size_t{1}}) {
        ExpectPlainTwinsBits(num_inputs, count, offset);
      }
    }
  }
}

// More values than all threads together take at once.
TEST_F(CudaWeightedSumTest, GoesRoundForLargeTensors) {
  ExpectPlainTwinsBits(2, (size_t{4096} * 256 + 5) * 4 + 3, 0);
  ExpectPlainTwinsBits(2, size_t{4096} * 256 + 5, 1);
}

TEST_F(CudaWeightedSumTest, FlagsResultsThatAreNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (float bad : {0.0F, infinity, -infinity, std::nanf("")}) {
    for (size_t at : {size_t{0}, size_t{5}, size_t{1002}}) {
      std::vector<float> values(1003, 1.5F);
      values[at] = bad;
      const DeviceFloats input(values, 0);
      const DeviceFloats out(values, 0);
      // Zero bits are a zero int as well.
      const DeviceFloats flag({0.0F}, 0);
      ASSERT_THAT(
          cuda::WeightedSum({2.0F}, {input.data()}, values.size(), out.data(),
                            reinterpret_cast<int*>(flag.data())),
          IsOk());
      const float read = flag.Read()[0];
      int set = 0;
      std::memcpy(&set, &read, sizeof(set));
      EXPECT_EQ(set, std::isfinite(bad) ? 0 : 1) << bad << " at " << at;
    }
  }
}

}  // namespace
}  // namespace parm
