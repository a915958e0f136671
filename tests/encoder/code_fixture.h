#pragma once

// Coding groups for the tests that run over every registered scheme: random
// members, the parity queries made from them, and all outputs that could
// arrive, from a linear model.

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "encoder/code.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"

namespace parm {

inline constexpr uint32_t kGroupSeed = 20240602;
inline constexpr int64_t kNumClasses = 7;

/// FP32, FP16 or BF16.
bool IsFloat(DataType datatype);

/// Every scheme with every k and r that it takes.
std::vector<CodeSpec> AllCodeSpecs();

/// "sum_k2_r1", for names of tests.
std::string CodeTestName(const testing::TestParamInfo<CodeSpec>& tested);

/// One coding group with all that could arrive for it.
struct CodedGroup {
  std::vector<OwnedTensor> members;
  std::vector<OwnedTensor> parities;
  /// k + r slots; those beyond a short group hold nothing.
  std::vector<OwnedTensor> outputs;

  std::vector<TensorView> MemberViews() const;
  /// The outputs whose bits are set.
  std::vector<std::optional<TensorView>> Arrived(ArrivalMask arrived) const;
};

class CodeFixture : public testing::TestWithParam<CodeSpec> {
 protected:
  void SetUp() override;

  int k() const { return GetParam().k; }
  int r() const { return GetParam().r; }
  ArrivalMask Everything() const { return (1U << (k() + r())) - 1; }

  /// Numbers of members that a group of this code may have: all where they are
  /// few, else the smallest, some and the largest.
  std::vector<int> GroupSizes() const;

  /// [batch, ...] as the scheme's reference likes its members.
  std::vector<int64_t> MemberShape(int64_t batch) const;

  /// What the deployed model looks at of a member.
  OwnedTensor Seen(const OwnedTensor& member) const;

  /// Members of order 1 for floats, within 0..255 for integers.
  CodedGroup MakeGroup(DataType datatype, int num_members, int64_t batch);

  /// An output of a member, all zero.
  static OwnedTensor MakeResult(int64_t batch) {
    return OwnedTensor::Zeros(DataType::kFp32, {batch, kNumClasses});
  }

  std::unique_ptr<const Code> code_;
  const ReferenceScheme* reference_ = nullptr;
  std::optional<LinearModel> model_;
  std::mt19937 random_{kGroupSeed};
};

}  // namespace parm
