// Encode and Decode run for every group on the frontend's one loop: they
// promise to allocate nothing unless they fail.

#include <cstdint>
#include <optional>
#include <vector>

#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/allocation_counter.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

int64_t AllocationsOf(const auto& function) {
  const int64_t before = NumAllocations();
  function();
  return NumAllocations() - before;
}

class AllocationTest : public testing::TestWithParam<CodeSpec> {};

TEST_P(AllocationTest, CounterSeesAllocations) {
  EXPECT_GT(AllocationsOf([] { OwnedTensor::Zeros(DataType::kFp32, {8}); }), 0);
}

TEST_P(AllocationTest, EncodeAllocatesNothing) {
  PARM_ASSERT_OK_AND_ASSIGN(const auto code, CreateCode(GetParam()));
  for (DataType datatype :
       {DataType::kFp32, DataType::kFp16, DataType::kBf16, DataType::kUint8}) {
    const TensorSpec member = {"x", datatype, {2, 3, 8, 8}};
    PARM_ASSERT_OK_AND_ASSIGN(const TensorSpec query,
                              code->ParityQuerySpec(member, GetParam().k));
    const OwnedTensor input = OwnedTensor::Zeros(datatype, member.shape);
    OwnedTensor parity = OwnedTensor::Zeros(query.datatype, query.shape);
    const std::vector<TensorView> members(static_cast<size_t>(GetParam().k),
                                          input.View());
    absl::Status status;
    EXPECT_EQ(AllocationsOf([&] {
                status = code->Encode(0, members, parity.MutableView());
              }),
              0);
    EXPECT_THAT(status, IsOk());
  }
}

TEST_P(AllocationTest, DecodeAllocatesNothing) {
  PARM_ASSERT_OK_AND_ASSIGN(const auto code, CreateCode(GetParam()));
  const int k = GetParam().k;
  PARM_ASSERT_OK_AND_ASSIGN(
      const TensorSpec answer_spec,
      code->ParityOutputSpec({"y", DataType::kFp32, {2, 10}}));
  const OwnedTensor output = OwnedTensor::Zeros(DataType::kFp32, {2, 10});
  const OwnedTensor answer =
      OwnedTensor::Zeros(DataType::kFp32, answer_spec.shape);
  OwnedTensor result = output;
  std::vector<std::optional<TensorView>> outputs(static_cast<size_t>(k),
                                                 output.View());
  outputs.resize(static_cast<size_t>(k + GetParam().r), answer.View());
  outputs[0] = std::nullopt;
  absl::StatusOr<DecodeReport> report = DecodeReport{};
  EXPECT_EQ(AllocationsOf([&] {
              report = code->Decode(k, outputs, 0, result.MutableView());
            }),
            0);
  EXPECT_THAT(report, IsOk());
}

INSTANTIATE_TEST_SUITE_P(
    EveryScheme, AllocationTest,
    testing::Values(CodeSpec{.scheme = "sum", .k = 4},
                    CodeSpec{.scheme = "weighted", .k = 4, .r = 2},
                    CodeSpec{.scheme = "concat", .k = 4},
                    CodeSpec{.scheme = "tile", .k = 3},
                    CodeSpec{.scheme = "stack", .k = 4},
                    CodeSpec{.scheme = "pack", .k = 4}),
    [](const testing::TestParamInfo<CodeSpec>& tested) {
      return tested.param.scheme;
    });

}  // namespace
}  // namespace parm
