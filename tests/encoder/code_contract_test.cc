// What every code promises in encoder/code.h, tried on every registered scheme
// with every k and r it takes: linear models, every erasure pattern, a float64
// reference. A later scheme is tested here as soon as it is registered; its
// entry in reference_schemes.cc says what its parity model answers.

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20240602;
constexpr int64_t kNumFeatures = 3 * 5;
constexpr int64_t kNumClasses = 7;
constexpr int64_t kBatches[] = {0, 1, 2, 4};
// Largest number of slots for which numbers, too, are checked for all patterns.
constexpr int kMaxSlotsForAllPatterns = 9;

std::vector<CodeSpec> AllSpecs() {
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

std::vector<int64_t> MemberShape(int64_t batch) { return {batch, 3, 5}; }

/// One coding group with all that could arrive for it.
struct Group {
  std::vector<OwnedTensor> members;
  std::vector<OwnedTensor> parities;
  /// k + r slots; those beyond a short group are empty tensors.
  std::vector<OwnedTensor> outputs;
};

using Slots = std::vector<std::optional<TensorView>>;

class CodeContractTest : public testing::TestWithParam<CodeSpec> {
 protected:
  void SetUp() override {
    reference_ = FindReference(GetParam().scheme);
    ASSERT_NE(reference_, nullptr)
        << "add " << GetParam().scheme << " to reference_schemes.cc";
    PARM_ASSERT_OK_AND_ASSIGN(code_, CreateCode(GetParam()));
    ASSERT_EQ(code_->spec(), GetParam());
  }

  int k() const { return GetParam().k; }
  int r() const { return GetParam().r; }

  std::vector<int> GroupSizes() const {
    std::vector<int> sizes;
    const int smallest = code_->supports_short_groups() ? 1 : k();
    for (int size = smallest; size <= k(); ++size) sizes.push_back(size);
    return sizes;
  }

  /// Everything if that is affordable, else all patterns of up to two missing
  /// outputs and of up to two present ones.
  std::vector<ArrivalMask> Patterns() const {
    std::vector<ArrivalMask> patterns;
    for (ArrivalMask mask = 0; mask < 1U << (k() + r()); ++mask) {
      const int present = std::popcount(mask);
      if (k() + r() <= kMaxSlotsForAllPatterns || present <= 2 ||
          present >= k() + r() - 2) {
        patterns.push_back(mask);
      }
    }
    return patterns;
  }

  void MakeMembers(DataType datatype, int num_members, int64_t batch,
                   Group& group) {
    std::normal_distribution<double> normal;
    std::uniform_int_distribution<int> byte(0, 255);
    for (int i = 0; i < num_members; ++i) {
      std::vector<double> values(static_cast<size_t>(batch * kNumFeatures));
      for (double& value : values) {
        value = datatype == DataType::kFp32 ? normal(random_) : byte(random_);
      }
      group.members.push_back(
          OwnedTensor::Of(datatype, MemberShape(batch), values));
    }
  }

  void Encode(Group& group) {
    const OwnedTensor& first = group.members[0];
    std::vector<TensorView> views;
    for (const OwnedTensor& member : group.members) {
      views.push_back(member.View());
    }
    PARM_ASSERT_OK_AND_ASSIGN(
        const TensorSpec query,
        code_->ParityQuerySpec({"image", first.datatype, first.shape},
                               static_cast<int>(views.size())));
    for (int p = 0; p < r(); ++p) {
      OwnedTensor parity = OwnedTensor::Zeros(query.datatype, query.shape);
      ASSERT_THAT(code_->Encode(p, views, parity.MutableView()), IsOk());
      group.parities.push_back(std::move(parity));
    }
  }

  Group MakeGroup(DataType datatype, int num_members, int64_t batch) {
    Group group;
    MakeMembers(datatype, num_members, batch, group);
    Encode(group);
    for (const OwnedTensor& member : group.members) {
      group.outputs.push_back(model_.Run(member));
    }
    group.outputs.resize(static_cast<size_t>(k()));
    for (int p = 0; p < r(); ++p) {
      group.outputs.push_back(reference_->answer(
          GetParam(), p, group.parities[static_cast<size_t>(p)], group.members,
          model_));
    }
    return group;
  }

  /// What arrived of the group under `arrived`.
  Slots Arrived(const Group& group, ArrivalMask arrived) const {
    Slots slots(group.outputs.size());
    for (size_t slot = 0; slot < slots.size(); ++slot) {
      if (((arrived >> slot) & 1U) != 0) {
        slots[slot] = group.outputs[slot].View();
      }
    }
    return slots;
  }

  ArrivalMask Everything() const { return (1U << (k() + r())) - 1; }

  std::unique_ptr<const Code> code_;
  const ReferenceScheme* reference_ = nullptr;
  std::mt19937 random_{kSeed};
  LinearModel model_{kSeed, kNumFeatures, kNumClasses};
};

TEST_P(CodeContractTest, ParityQueryMatchesFloat64Reference) {
  for (DataType datatype : reference_->datatypes) {
    for (int num_members : GroupSizes()) {
      for (int64_t batch : kBatches) {
        SCOPED_TRACE(absl::StrCat(DataTypeName(datatype),
                                  " members=", num_members, " batch=", batch));
        Group group;
        MakeMembers(datatype, num_members, batch, group);
        Encode(group);
        for (int p = 0; p < r(); ++p) {
          const auto got = group.parities[static_cast<size_t>(p)].Values();
          const auto want = reference_->encode(GetParam(), p, group.members);
          const auto magnitude =
              reference_->magnitude(GetParam(), p, group.members);
          ASSERT_EQ(got.size(), want.size());
          for (size_t i = 0; i < want.size(); ++i) {
            ASSERT_NEAR(got[i], want[i],
                        reference_->encode_tolerance * magnitude[i]);
          }
        }
      }
    }
  }
}

TEST_P(CodeContractTest, ParityQuerySpecKeepsNameAndDatatype) {
  for (DataType datatype : reference_->datatypes) {
    PARM_ASSERT_OK_AND_ASSIGN(
        const TensorSpec query,
        code_->ParityQuerySpec({"image", datatype, MemberShape(2)}, k()));
    EXPECT_EQ(query.name, "image");
    EXPECT_EQ(query.datatype, datatype);
  }
}

TEST_P(CodeContractTest, ParityQuerySpecTakesVariableDimensions) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const TensorSpec query,
      code_->ParityQuerySpec({"image", DataType::kFp32, MemberShape(-1)}, k()));
  EXPECT_EQ(query.shape.at(0), -1);
}

TEST_P(CodeContractTest, ParityOutputSpecIsWhatTheModelAnswers) {
  for (int64_t batch : kBatches) {
    const Group group = MakeGroup(reference_->datatypes[0], k(), batch);
    PARM_ASSERT_OK_AND_ASSIGN(
        const TensorSpec answer,
        code_->ParityOutputSpec(
            {"logits", DataType::kFp32, {batch, kNumClasses}}));
    EXPECT_EQ(answer.name, "logits");
    EXPECT_EQ(answer.datatype, DataType::kFp32);
    EXPECT_EQ(answer.shape, group.outputs.back().shape);
  }
}

TEST_P(CodeContractTest, RebuildsWhateverSuffices) {
  const std::vector<ArrivalMask> patterns = Patterns();
  for (DataType datatype : reference_->datatypes) {
    const double rounding = reference_->answer_rounding(GetParam(), datatype) *
                            model_.MaxRowAbsSum();
    for (int num_members : GroupSizes()) {
      for (int64_t batch : kBatches) {
        const Group group = MakeGroup(datatype, num_members, batch);
        for (ArrivalMask arrived : patterns) {
          for (int lost = 0; lost < num_members; ++lost) {
            if (!code_->Suffices(num_members, arrived, lost)) continue;
            SCOPED_TRACE(absl::StrCat(
                DataTypeName(datatype), " members=", num_members,
                " batch=", batch, " arrived=", arrived, " lost=", lost));
            const OwnedTensor& want = group.outputs[static_cast<size_t>(lost)];
            OwnedTensor got = OwnedTensor::Zeros(want.datatype, want.shape);
            PARM_ASSERT_OK_AND_ASSIGN(
                const DecodeReport report,
                code_->Decode(num_members, Arrived(group, arrived), lost,
                              got.MutableView()));
            const auto want_values = want.Values();
            const auto got_values = got.Values();
            // Inputs up to 255 for integers, of order 1 for FP32.
            const double scale = datatype == DataType::kFp32 ? 1 : 255;
            for (size_t i = 0; i < want_values.size(); ++i) {
              ASSERT_NEAR(got_values[i], want_values[i],
                          report.noise_gain * (1e-4 * scale + rounding));
            }
          }
        }
      }
    }
  }
}

// r losses are what a code is for: with everything else here, it must decode.
TEST_P(CodeContractTest, ToleratesAnyRLosses) {
  for (int num_members : GroupSizes()) {
    const ArrivalMask full = Everything();
    for (ArrivalMask gone = 0; gone < 1U << num_members; ++gone) {
      if (std::popcount(gone) > r()) continue;
      for (int lost = 0; lost < num_members; ++lost) {
        if (((gone >> lost) & 1U) == 0) continue;
        EXPECT_TRUE(code_->Suffices(num_members, full & ~gone, lost))
            << "gone=" << gone << " lost=" << lost;
      }
    }
  }
}

TEST_P(CodeContractTest, DecodesExactlyWhereItSuffices) {
  for (int num_members : GroupSizes()) {
    // Every pattern of full groups; of short ones where they are not too many.
    if (num_members < k() && k() > 8) continue;
    const Group group = MakeGroup(DataType::kFp32, num_members, /*batch=*/1);
    OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {1, kNumClasses});
    std::vector<int> losses;
    for (int lost = 0; lost < num_members; ++lost) {
      if (k() <= 8 || lost == 0 || lost == k() / 2 || lost == k() - 1) {
        losses.push_back(lost);
      }
    }
    for (ArrivalMask arrived = 0; arrived <= Everything(); ++arrived) {
      const Slots slots = Arrived(group, arrived);
      for (int lost : losses) {
        const auto report =
            code_->Decode(num_members, slots, lost, result.MutableView());
        const bool suffices = code_->Suffices(num_members, arrived, lost);
        ASSERT_EQ(report.ok(), suffices)
            << "arrived=" << arrived << " lost=" << lost << report.status();
        if (!suffices) {
          ASSERT_THAT(report, StatusIs(absl::StatusCode::kFailedPrecondition));
        }
        // Neither the lost output itself nor those beyond the group matter.
        const ArrivalMask beyond =
            ((1U << k()) - 1) & ~((1U << num_members) - 1);
        ASSERT_EQ(code_->Suffices(num_members, arrived ^ (1U << lost), lost),
                  suffices);
        ASSERT_EQ(code_->Suffices(num_members, arrived ^ beyond, lost),
                  suffices);
      }
    }
  }
}

TEST_P(CodeContractTest, MultiOutputCodesWaitForNoSibling) {
  const ArrivalMask parities = Everything() & ~((1U << k()) - 1);
  for (int num_members : GroupSizes()) {
    // A group of one has no siblings to wait for.
    EXPECT_EQ(code_->Suffices(num_members, parities, 0),
              code_->multi_output() || num_members <= r());
  }
}

TEST_P(CodeContractTest, IgnoresWhatIsInUnusedSlots) {
  const OwnedTensor garbage =
      OwnedTensor::Of(DataType::kFp32, {2}, {std::nan(""), std::nan("")});
  for (int num_members : GroupSizes()) {
    const Group group = MakeGroup(DataType::kFp32, num_members, /*batch=*/2);
    for (int lost = 0; lost < num_members; ++lost) {
      Slots slots = Arrived(group, Everything());
      slots[static_cast<size_t>(lost)] = std::nullopt;
      OwnedTensor want = OwnedTensor::Zeros(DataType::kFp32, {2, kNumClasses});
      OwnedTensor got = want;
      ASSERT_THAT(code_->Decode(num_members, slots, lost, want.MutableView()),
                  IsOk());
      slots[static_cast<size_t>(lost)] = garbage.View();
      for (int slot = num_members; slot < k(); ++slot) {
        slots[static_cast<size_t>(slot)] = garbage.View();
      }
      ASSERT_THAT(code_->Decode(num_members, slots, lost, got.MutableView()),
                  IsOk());
      EXPECT_EQ(got.bytes, want.bytes);
    }
  }
}

TEST_P(CodeContractTest, NoiseGainBoundsHowErrorsGrow) {
  const double error = 0.25;
  std::bernoulli_distribution up;
  for (int num_members : GroupSizes()) {
    const Group group = MakeGroup(DataType::kFp32, num_members, /*batch=*/1);
    Group noisy = group;
    for (OwnedTensor& output : noisy.outputs) {
      if (output.shape.empty()) continue;
      std::vector<double> values = output.Values();
      for (double& value : values) value += up(random_) ? error : -error;
      output = OwnedTensor::Of(DataType::kFp32, output.shape, values);
    }
    for (int lost = 0; lost < num_members; ++lost) {
      const ArrivalMask arrived = Everything() & ~(1U << lost);
      OwnedTensor clean = OwnedTensor::Zeros(DataType::kFp32, {1, kNumClasses});
      OwnedTensor noised = clean;
      PARM_ASSERT_OK_AND_ASSIGN(
          const DecodeReport report,
          code_->Decode(num_members, Arrived(group, arrived), lost,
                        clean.MutableView()));
      ASSERT_THAT(code_->Decode(num_members, Arrived(noisy, arrived), lost,
                                noised.MutableView()),
                  IsOk());
      const auto clean_values = clean.Values();
      const auto noised_values = noised.Values();
      for (size_t i = 0; i < clean_values.size(); ++i) {
        EXPECT_LE(std::abs(noised_values[i] - clean_values[i]),
                  report.noise_gain * error + 1e-3);
      }
      if (code_->multi_output()) {
        EXPECT_EQ(report.noise_gain, 1);
      }
    }
  }
}

TEST_P(CodeContractTest, RefusesToDecodeWhatIsNotFinite) {
  using Limits = std::numeric_limits<double>;
  for (int num_members : GroupSizes()) {
    const Group group = MakeGroup(DataType::kFp32, num_members, /*batch=*/2);
    const ArrivalMask arrived = Everything() & ~1U;
    OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {2, kNumClasses});
    for (double bad :
         {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
      // In every parity, so that none is left to decode with.
      Group poisoned = group;
      for (int p = 0; p < r(); ++p) {
        OwnedTensor& answer = poisoned.outputs[static_cast<size_t>(k() + p)];
        std::vector<double> values = answer.Values();
        values[kNumClasses + 1] = bad;
        answer = OwnedTensor::Of(DataType::kFp32, answer.shape, values);
      }
      EXPECT_THAT(code_->Decode(num_members, Arrived(poisoned, arrived), 0,
                                result.MutableView()),
                  StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

TEST_P(CodeContractTest, ParityQuerySpecRefusesWhatItCannotCode) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const TensorSpec good = {"image", DataType::kFp32, MemberShape(1)};
  ASSERT_THAT(code_->ParityQuerySpec(good, k()), IsOk());
  EXPECT_THAT(code_->ParityQuerySpec(good, 0), invalid);
  EXPECT_THAT(code_->ParityQuerySpec(good, -1), invalid);
  EXPECT_THAT(code_->ParityQuerySpec(good, k() + 1), invalid);
  TensorSpec bad = good;
  bad.datatype = DataType::kBytes;
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.datatype = DataType::kInvalid;
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad = good;
  bad.shape = {};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.shape = {1, -2};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.shape = {int64_t{1} << 61, 4};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
  bad.shape = {int64_t{1} << 62, 0};
  EXPECT_THAT(code_->ParityQuerySpec(bad, k()), invalid);
}

TEST_P(CodeContractTest, ParityOutputSpecRefusesOtherThanFp32) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  for (DataType datatype :
       {DataType::kInvalid, DataType::kFp16, DataType::kFp64, DataType::kUint8,
        DataType::kBytes}) {
    EXPECT_THAT(code_->ParityOutputSpec({"logits", datatype, {1, 7}}), invalid);
  }
  EXPECT_THAT(code_->ParityOutputSpec({"logits", DataType::kFp32, {}}),
              invalid);
}

TEST_P(CodeContractTest, EncodeRefusesWrongArguments) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const Group group = MakeGroup(DataType::kFp32, k(), /*batch=*/2);
  std::vector<TensorView> members;
  for (const OwnedTensor& member : group.members) {
    members.push_back(member.View());
  }
  OwnedTensor parity = group.parities[0];
  ASSERT_THAT(code_->Encode(0, members, parity.MutableView()), IsOk());

  EXPECT_THAT(code_->Encode(-1, members, parity.MutableView()), invalid);
  EXPECT_THAT(code_->Encode(r(), members, parity.MutableView()), invalid);
  EXPECT_THAT(code_->Encode(0, {}, parity.MutableView()), invalid);
  std::vector<TensorView> too_many = members;
  too_many.resize(static_cast<size_t>(k()) + 1, members[0]);
  EXPECT_THAT(code_->Encode(0, too_many, parity.MutableView()), invalid);
  too_many.resize(1000, members[0]);
  EXPECT_THAT(code_->Encode(0, too_many, parity.MutableView()), invalid);

  // A last member that differs: the only one, if k is 1.
  const auto expect_refused = [&](const TensorView& last) {
    std::vector<TensorView> wrong = members;
    wrong.back() = last;
    EXPECT_THAT(code_->Encode(0, wrong, parity.MutableView()), invalid);
  };
  const OwnedTensor smaller =
      OwnedTensor::Zeros(DataType::kFp32, MemberShape(1));
  const OwnedTensor bytes = OwnedTensor::Zeros(DataType::kUint8, {2, 3, 20});
  const OwnedTensor words = OwnedTensor::Zeros(DataType::kInt32, {2, 3, 5});
  expect_refused(smaller.View());
  expect_refused(bytes.View());
  expect_refused(words.View());
  TensorView cut = members.back();
  cut.bytes.remove_suffix(4);
  expect_refused(cut);
  const int64_t huge_shape[] = {int64_t{1} << 62, 0, 5};
  expect_refused({DataType::kFp32, huge_shape, {}});
  expect_refused({DataType::kFp32, {}, cut.bytes.first(4)});
  expect_refused({DataType::kBytes, members.back().shape, cut.bytes});

  OwnedTensor wrong_type = OwnedTensor::Zeros(DataType::kInt32, parity.shape);
  EXPECT_THAT(code_->Encode(0, members, wrong_type.MutableView()), invalid);
  OwnedTensor wrong_shape = parity;
  std::swap(wrong_shape.shape[1], wrong_shape.shape[2]);
  EXPECT_THAT(code_->Encode(0, members, wrong_shape.MutableView()), invalid);
  OwnedTensor wrong_size = parity;
  wrong_size.bytes.resize(parity.bytes.size() - 4);
  EXPECT_THAT(code_->Encode(0, members, wrong_size.MutableView()), invalid);
}

TEST_P(CodeContractTest, DecodeRefusesWrongArguments) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const Group group = MakeGroup(DataType::kFp32, k(), /*batch=*/2);
  const Slots slots = Arrived(group, Everything() & ~1U);
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {2, kNumClasses});
  ASSERT_THAT(code_->Decode(k(), slots, 0, result.MutableView()), IsOk());

  EXPECT_THAT(code_->Decode(0, slots, 0, result.MutableView()), invalid);
  EXPECT_THAT(code_->Decode(k() + 1, slots, 0, result.MutableView()), invalid);
  EXPECT_THAT(code_->Decode(k(), slots, -1, result.MutableView()), invalid);
  EXPECT_THAT(code_->Decode(k(), slots, k(), result.MutableView()), invalid);
  EXPECT_FALSE(code_->Suffices(k(), Everything(), k()));
  EXPECT_FALSE(code_->Suffices(k(), Everything(), -1));
  EXPECT_FALSE(code_->Suffices(k() + 1, Everything(), 0));
  EXPECT_FALSE(code_->Suffices(0, Everything(), 0));
  Slots fewer(slots.begin(), slots.end() - 1);
  EXPECT_THAT(code_->Decode(k(), fewer, 0, result.MutableView()), invalid);
  Slots more = slots;
  more.push_back(slots.back());
  EXPECT_THAT(code_->Decode(k(), more, 0, result.MutableView()), invalid);
  more.resize(100, slots.back());
  EXPECT_THAT(code_->Decode(k(), more, 0, result.MutableView()), invalid);

  OwnedTensor wide = OwnedTensor::Zeros(DataType::kFp64, {2, kNumClasses});
  EXPECT_THAT(code_->Decode(k(), slots, 0, wide.MutableView()), invalid);
  OwnedTensor other = OwnedTensor::Zeros(DataType::kFp32, {1, kNumClasses});
  EXPECT_THAT(code_->Decode(k(), slots, 0, other.MutableView()), invalid);
  OwnedTensor scalar = OwnedTensor::Zeros(DataType::kFp32, {});
  EXPECT_THAT(code_->Decode(k(), slots, 0, scalar.MutableView()), invalid);
  OwnedTensor cut = result;
  cut.bytes.resize(cut.bytes.size() - 4);
  EXPECT_THAT(code_->Decode(k(), slots, 0, cut.MutableView()), invalid);

  // Answers of another kind, in all parities so that none is left.
  const auto expect_refused = [&](auto change) {
    Slots wrong = slots;
    for (size_t slot = static_cast<size_t>(k()); slot < wrong.size(); ++slot) {
      change(*wrong[slot]);
    }
    EXPECT_THAT(code_->Decode(k(), wrong, 0, result.MutableView()), invalid);
  };
  expect_refused(
      [](TensorView& answer) { answer.datatype = DataType::kInt32; });
  expect_refused([](TensorView& answer) { answer.bytes.remove_suffix(4); });
  expect_refused([](TensorView& answer) { answer.shape = {}; });
  const int64_t transposed[] = {kNumClasses, 2};
  expect_refused([&](TensorView& answer) { answer.shape = transposed; });
}

INSTANTIATE_TEST_SUITE_P(EveryScheme, CodeContractTest,
                         testing::ValuesIn(AllSpecs()),
                         [](const testing::TestParamInfo<CodeSpec>& tested) {
                           return absl::StrCat(tested.param.scheme, "_k",
                                               tested.param.k, "_r",
                                               tested.param.r);
                         });

}  // namespace
}  // namespace parm
