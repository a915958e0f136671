#include "tests/encoder/code_fixture.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tests/support/matchers.h"

namespace parm {

bool IsFloat(DataType datatype) {
  return datatype == DataType::kFp32 || datatype == DataType::kFp16 ||
         datatype == DataType::kBf16;
}

std::vector<CodeSpec> AllCodeSpecs() {
  std::vector<CodeSpec> specs;
  for (const std::string& scheme : CodeSchemes()) {
    for (int r = 1; r <= kMaxParities; ++r) {
      for (int k = 1; k <= kMaxMembers; ++k) {
        const CodeSpec spec = {.scheme = scheme, .k = k, .r = r};
        if (Supports(spec)) specs.push_back(spec);
      }
    }
  }
  return specs;
}

std::string CodeTestName(const testing::TestParamInfo<CodeSpec>& tested) {
  return absl::StrCat(tested.param.scheme, "_k", tested.param.k, "_r",
                      tested.param.r);
}

std::vector<TensorView> CodedGroup::MemberViews() const {
  std::vector<TensorView> views;
  for (const OwnedTensor& member : members) views.push_back(member.View());
  return views;
}

std::vector<std::optional<TensorView>> CodedGroup::Arrived(
    ArrivalMask arrived) const {
  std::vector<std::optional<TensorView>> slots(outputs.size());
  for (size_t slot = 0; slot < slots.size(); ++slot) {
    if (((arrived >> slot) & 1U) != 0) slots[slot] = outputs[slot].View();
  }
  return slots;
}

void CodeFixture::SetUp() {
  reference_ = FindReference(GetParam().scheme);
  ASSERT_NE(reference_, nullptr)
      << "add " << GetParam().scheme << " to reference_schemes.cc";
  PARM_ASSERT_OK_AND_ASSIGN(code_, CreateCode(GetParam()));
  ASSERT_EQ(code_->spec(), GetParam());
  const OwnedTensor sample =
      Seen(OwnedTensor::Zeros(DataType::kFp32, MemberShape(1)));
  model_.emplace(kGroupSeed, static_cast<int64_t>(sample.Values().size()),
                 kNumClasses);
}

OwnedTensor CodeFixture::Seen(const OwnedTensor& member) const {
  return reference_->seen == nullptr ? member
                                     : reference_->seen(GetParam(), member);
}

std::vector<int> CodeFixture::GroupSizes() const {
  std::vector<int> sizes;
  const int smallest = code_->supports_short_groups() ? 1 : k();
  for (int size = smallest; size <= k(); ++size) {
    if (k() <= 8 || size <= 2 || size % 5 == 0 || size >= k() - 1) {
      sizes.push_back(size);
    }
  }
  return sizes;
}

std::vector<int64_t> CodeFixture::MemberShape(int64_t batch) const {
  std::vector<int64_t> shape = reference_->sample_shape;
  shape.insert(shape.begin(), batch);
  return shape;
}

CodedGroup CodeFixture::MakeGroup(DataType datatype, int num_members,
                                  int64_t batch) {
  CodedGroup group;
  const TensorSpec member = {"image", datatype, MemberShape(batch)};
  const absl::StatusOr<int64_t> num_values = NumElements(member.shape);
  PARM_CHECK(num_values.ok());
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> byte(0, 255);
  for (int i = 0; i < num_members; ++i) {
    std::vector<double> values(static_cast<size_t>(*num_values));
    for (double& value : values) {
      value = IsFloat(datatype) ? normal(random_) : byte(random_);
    }
    group.members.push_back(OwnedTensor::Of(datatype, member.shape, values));
    group.outputs.push_back(model_->Run(Seen(group.members.back())));
  }
  group.outputs.resize(static_cast<size_t>(k()));

  const absl::StatusOr<TensorSpec> query =
      code_->ParityQuerySpec(member, num_members);
  PARM_CHECK(query.ok());
  for (int p = 0; p < r(); ++p) {
    OwnedTensor parity = OwnedTensor::Zeros(query->datatype, query->shape);
    EXPECT_THAT(code_->Encode(p, group.MemberViews(), parity.MutableView()),
                IsOk());
    group.outputs.push_back(
        reference_->answer(GetParam(), p, parity, group.members, *model_));
    group.parities.push_back(std::move(parity));
  }
  return group;
}

}  // namespace parm
