// What every code promises in encoder/code.h, tried on every registered scheme
// with every k and r it takes: linear models, every erasure pattern, a float64
// reference. A later scheme is tested here as soon as it is registered; its
// entry in reference_schemes.cc says what its parity model answers. What a code
// must refuse is in code_errors_test.cc.

#include "encoder/code.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/code_fixture.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr int64_t kBatches[] = {0, 1, 2, 4};

using Slots = std::vector<std::optional<TensorView>>;

double LargestDifference(const std::vector<double>& a,
                         const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : HUGE_VAL;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  return largest;
}

class CodeContractTest : public CodeFixture {
 protected:
  /// All patterns where they are few, else those of at most two missing or at
  /// most two present outputs. Batches differ in sizes only: one tries more.
  std::vector<ArrivalMask> Patterns(int64_t batch) const {
    const int max_slots_for_all = batch == 1 ? 9 : 6;
    std::vector<ArrivalMask> patterns;
    for (ArrivalMask mask = 0; mask <= Everything(); ++mask) {
      const int present = std::popcount(mask);
      if (k() + r() <= max_slots_for_all || present <= 2 ||
          present >= k() + r() - 2) {
        patterns.push_back(mask);
      }
    }
    return patterns;
  }
};

TEST_P(CodeContractTest, ParityQueryMatchesFloat64Reference) {
  for (DataType datatype : reference_->datatypes) {
    for (int num_members : GroupSizes()) {
      for (int64_t batch : kBatches) {
        SCOPED_TRACE(absl::StrCat(DataTypeName(datatype),
                                  " members=", num_members, " batch=", batch));
        const CodedGroup group = MakeGroup(datatype, num_members, batch);
        // The last place of FP16 numbers near zero.
        const double smallest = datatype == DataType::kFp16 ? 0x1p-24 : 0;
        for (int p = 0; p < r(); ++p) {
          const auto got = group.parities[static_cast<size_t>(p)].Values();
          const auto want = reference_->encode(GetParam(), p, group.members);
          const auto magnitude =
              reference_->magnitude(GetParam(), p, group.members);
          ASSERT_EQ(got.size(), want.size());
          for (size_t i = 0; i < want.size(); ++i) {
            ASSERT_NEAR(got[i], want[i],
                        (reference_->encode_tolerance + HalfUnit(datatype)) *
                                magnitude[i] +
                            smallest);
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

TEST_P(CodeContractTest, MixedMembersTakeTheBatchOfOne) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const TensorSpec query,
      code_->ParityQuerySpec({"image", DataType::kFp32, MemberShape(2)}, k()));
  EXPECT_EQ(query.shape.at(0), code_->mixes_members() ? 2 : 2 * k());
}

TEST_P(CodeContractTest, ParityOutputSpecIsWhatTheModelAnswers) {
  for (int64_t batch : kBatches) {
    const CodedGroup group = MakeGroup(reference_->datatypes[0], k(), batch);
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
  for (DataType datatype : reference_->datatypes) {
    // Values of order 1 for floats, up to 255 for integers.
    const double scale = IsFloat(datatype) ? 1 : 255;
    const double tolerance =
        1e-4 * scale + reference_->answer_rounding(GetParam(), datatype) *
                           model_->MaxRowAbsSum();
    for (int num_members : GroupSizes()) {
      for (int64_t batch : kBatches) {
        SCOPED_TRACE(absl::StrCat(DataTypeName(datatype),
                                  " members=", num_members, " batch=", batch));
        const std::vector<ArrivalMask> patterns = Patterns(batch);
        const CodedGroup group = MakeGroup(datatype, num_members, batch);
        OwnedTensor got = MakeResult(batch);
        for (int lost = 0; lost < num_members; ++lost) {
          const auto want = group.outputs[static_cast<size_t>(lost)].Values();
          for (ArrivalMask arrived : patterns) {
            if (!code_->Suffices(num_members, arrived, lost)) continue;
            const auto report = code_->Decode(
                num_members, group.Arrived(arrived), lost, got.MutableView());
            ASSERT_THAT(report, IsOk()) << arrived << " lost=" << lost;
            ASSERT_LE(LargestDifference(got.Values(), want),
                      report->noise_gain * tolerance)
                << "arrived=" << arrived << " lost=" << lost;
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

// All 2^(k+r) patterns of full groups, but a sample of the largest; of short
// ones where they are not many.
TEST_P(CodeContractTest, DecodesExactlyWhereItSuffices) {
  const ArrivalMask step = k() > 10 ? 37 : 1;
  for (int num_members : GroupSizes()) {
    if (num_members < k() && k() > 8) continue;
    const CodedGroup group = MakeGroup(DataType::kFp32, num_members, 1);
    OwnedTensor result = MakeResult(1);
    const ArrivalMask beyond = ((1U << k()) - 1) & ~((1U << num_members) - 1);
    for (ArrivalMask arrived = 0; arrived <= Everything(); arrived += step) {
      const Slots slots = group.Arrived(arrived);
      for (int lost = 0; lost < num_members; ++lost) {
        if (k() > 8 && lost % 5 != 0) continue;
        const bool suffices = code_->Suffices(num_members, arrived, lost);
        const auto code =
            code_->Decode(num_members, slots, lost, result.MutableView())
                .status()
                .code();
        ASSERT_EQ(code, suffices ? absl::StatusCode::kOk
                                 : absl::StatusCode::kFailedPrecondition)
            << "arrived=" << arrived << " lost=" << lost;
        // Neither the lost output itself nor those beyond the group matter.
        for (ArrivalMask other : {arrived ^ (1U << lost), arrived ^ beyond}) {
          ASSERT_EQ(code_->Suffices(num_members, other, lost), suffices);
        }
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
    const CodedGroup group =
        MakeGroup(DataType::kFp32, num_members, /*batch=*/2);
    for (int lost = 0; lost < num_members; ++lost) {
      Slots slots = group.Arrived(Everything());
      slots[static_cast<size_t>(lost)] = std::nullopt;
      OwnedTensor want = MakeResult(2);
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

TEST_P(CodeContractTest, ReportsExactlyTheOutputsThatAreUsed) {
  for (int num_members : GroupSizes()) {
    const CodedGroup group =
        MakeGroup(DataType::kFp32, num_members, /*batch=*/1);
    CodedGroup spoilt = group;
    for (OwnedTensor& output : spoilt.outputs) {
      if (output.shape.empty()) continue;
      output = OwnedTensor::Of(
          DataType::kFp32, output.shape,
          std::vector<double>(output.Values().size(), std::nan("")));
    }
    for (const ArrivalMask arrived : Patterns(/*batch=*/1)) {
      const int lost = std::countr_one(arrived);
      if (lost >= num_members || !code_->Suffices(num_members, arrived, lost)) {
        continue;
      }
      SCOPED_TRACE(absl::StrCat("n=", num_members, " arrived=", arrived));
      OwnedTensor want = MakeResult(1);
      OwnedTensor got = want;
      PARM_ASSERT_OK_AND_ASSIGN(
          const DecodeReport report,
          code_->Decode(num_members, group.Arrived(arrived), lost,
                        want.MutableView()));
      ASSERT_EQ(report.used & ~arrived, 0U);
      Slots slots = spoilt.Arrived(arrived);
      const Slots whole = group.Arrived(arrived);
      for (size_t slot = 0; slot < slots.size(); ++slot) {
        if ((report.used >> slot & 1U) != 0) slots[slot] = whole[slot];
      }
      ASSERT_THAT(code_->Decode(num_members, slots, lost, got.MutableView()),
                  IsOk());
      EXPECT_EQ(got.bytes, want.bytes);
      for (size_t slot = 0; slot < slots.size(); ++slot) {
        if ((report.used >> slot & 1U) == 0) continue;
        Slots one_spoilt = whole;
        one_spoilt[slot] = spoilt.outputs[slot].View();
        EXPECT_THAT(
            code_->Decode(num_members, one_spoilt, lost, got.MutableView()),
            StatusIs(absl::StatusCode::kDataLoss));
      }
    }
  }
}

// So that how good a decode is follows from what arrived.
TEST_P(CodeContractTest, FullGroupsUseEveryParityThatArrived) {
  const CodedGroup group = MakeGroup(DataType::kFp32, k(), /*batch=*/1);
  OwnedTensor result = MakeResult(1);
  for (const ArrivalMask arrived : Patterns(/*batch=*/1)) {
    for (int lost = 0; lost < k(); ++lost) {
      if ((arrived >> lost & 1U) != 0 || !code_->Suffices(k(), arrived, lost)) {
        continue;
      }
      PARM_ASSERT_OK_AND_ASSIGN(const DecodeReport report,
                                code_->Decode(k(), group.Arrived(arrived), lost,
                                              result.MutableView()));
      EXPECT_EQ(report.used >> k(), arrived >> k())
          << "arrived=" << arrived << " lost=" << lost;
    }
  }
}

TEST_P(CodeContractTest, NoiseGainBoundsHowErrorsGrow) {
  const double error = 0.25;
  std::bernoulli_distribution up;
  for (int num_members : GroupSizes()) {
    const CodedGroup group =
        MakeGroup(DataType::kFp32, num_members, /*batch=*/1);
    CodedGroup noisy = group;
    for (OwnedTensor& output : noisy.outputs) {
      if (output.shape.empty()) continue;
      std::vector<double> values = output.Values();
      for (double& value : values) value += up(random_) ? error : -error;
      output = OwnedTensor::Of(DataType::kFp32, output.shape, values);
    }
    for (int lost = 0; lost < num_members; ++lost) {
      const ArrivalMask arrived = Everything() & ~(1U << lost);
      OwnedTensor clean = MakeResult(1);
      OwnedTensor noised = clean;
      PARM_ASSERT_OK_AND_ASSIGN(
          const DecodeReport report,
          code_->Decode(num_members, group.Arrived(arrived), lost,
                        clean.MutableView()));
      ASSERT_THAT(code_->Decode(num_members, noisy.Arrived(arrived), lost,
                                noised.MutableView()),
                  IsOk());
      EXPECT_LE(LargestDifference(noised.Values(), clean.Values()),
                report.noise_gain * error + 1e-3);
      if (code_->multi_output()) {
        EXPECT_EQ(report.noise_gain, 1);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryScheme, CodeContractTest,
                         testing::ValuesIn(AllCodeSpecs()), CodeTestName);

}  // namespace
}  // namespace parm
