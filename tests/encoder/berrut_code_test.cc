// Training-free codes: every erasure pattern of their matrices, the published
// figures of their noise gain and leak, and the loops that apply them.

#include "encoder/berrut_code.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20240607;

BerrutCode MustCreate(const BerrutOptions& options) {
  absl::StatusOr<BerrutCode> code = BerrutCode::Create(options);
  EXPECT_THAT(code, IsOk());
  return *std::move(code);
}

struct Figures {
  double worst_gain = 0;
  double mean_leak = 0;
};

// Over all patterns of exactly this many stragglers.
Figures FiguresOf(const BerrutCode& code, int stragglers) {
  Figures figures;
  double leaks = 0;
  int num_leaks = 0;
  const int num_workers = code.options().num_workers;
  for (WorkerMask mask = 0; mask < 1U << num_workers; ++mask) {
    if (std::popcount(mask) != num_workers - stragglers) continue;
    const auto decode = code.DecodeMatrix(mask);
    EXPECT_THAT(decode, IsOk());
    if (!decode.ok()) continue;
    figures.worst_gain = std::max(figures.worst_gain, NoiseGain(*decode));
    for (double leak : LinearLeak(*decode, code.encode_matrix())) {
      leaks += leak;
      ++num_leaks;
    }
  }
  figures.mean_leak = leaks / num_leaks;
  return figures;
}

TEST(BerrutCodeTest, FiguresArePublishedOnes) {
  struct Case {
    int k;
    int stragglers;
    WorkerNodes nodes;
    double gain;
    double leak;
  };
  constexpr auto kFirst = WorkerNodes::kFirstKind;
  constexpr auto kSecond = WorkerNodes::kSecondKind;
  for (const Case& c :
       {Case{3, 1, kSecond, 2.0, 0.45}, Case{4, 1, kSecond, 3.8, 0.65},
        Case{8, 1, kSecond, 3.7, 0.97}, Case{8, 2, kSecond, 6.5, 0.73},
        Case{8, 3, kSecond, 9.8, 0.78}, Case{3, 1, kFirst, 1.9, 0.35},
        Case{4, 1, kFirst, 2.6, 0.49}, Case{8, 1, kFirst, 3.7, 0.54},
        Case{8, 2, kFirst, 6.1, 0.68}, Case{8, 3, kFirst, 8.5, 0.74}}) {
    const Figures figures = FiguresOf(
        MustCreate(
            {.k = c.k, .num_workers = c.k + c.stragglers, .nodes = c.nodes}),
        c.stragglers);
    EXPECT_NEAR(figures.worst_gain, c.gain, 0.051) << "k=" << c.k;
    EXPECT_NEAR(figures.mean_leak, c.leak, 0.0051) << "k=" << c.k;
  }
}

// Signs alternate along the survivors: with those of all workers there are
// gains of hundreds and a true pole at k = 3.
TEST(BerrutCodeTest, EveryPatternDecodesWithRowsOfSumOne) {
  for (WorkerNodes nodes :
       {WorkerNodes::kFirstKind, WorkerNodes::kSecondKind}) {
    for (int k = 2; k <= 8; ++k) {
      const BerrutCode code =
          MustCreate({.k = k, .num_workers = k + 2, .nodes = nodes});
      for (WorkerMask mask = 1; mask < 1U << (k + 2); ++mask) {
        PARM_ASSERT_OK_AND_ASSIGN(const Matrix decode, code.DecodeMatrix(mask));
        EXPECT_LT(NoiseGain(decode), 100) << "k=" << k << " mask=" << mask;
        for (int row = 0; row < k; ++row) {
          double sum = 0;
          for (int worker = 0; worker < k + 2; ++worker) {
            sum += decode.at(row, worker);
            if (((mask >> worker) & 1U) == 0) {
              EXPECT_EQ(decode.at(row, worker), 0);
            }
          }
          EXPECT_NEAR(sum, 1, 1e-9);
        }
      }
    }
  }
}

// k = 3, N = 9: 2 k i = (2 j + 1) (N - 1) has solutions, and those workers get
// a member as it is.
TEST(BerrutCodeTest, CollidingWorkersGetAMemberVerbatim) {
  const BerrutCode code = MustCreate({.k = 3, .num_workers = 9});
  // i = 4, j = 1: both nodes are 0.
  for (int member = 0; member < 3; ++member) {
    EXPECT_EQ(code.encode_matrix().at(4, member), member == 1 ? 1 : 0);
  }
  PARM_ASSERT_OK_AND_ASSIGN(const Matrix decode, code.DecodeMatrix(0x1FF));
  for (int worker = 0; worker < 9; ++worker) {
    EXPECT_EQ(decode.at(1, worker), worker == 4 ? 1 : 0);
  }
}

TEST(BerrutCodeTest, ConstantsPassUnchanged) {
  const BerrutCode code =
      MustCreate({.k = 4,
                  .num_workers = 5,
                  .nodes = WorkerNodes::kFirstKind,
                  .encode_weights = WeightFamily::kFloaterHormann3,
                  .decode_weights = WeightFamily::kBerrut2});
  for (WorkerMask mask = 1; mask < 32; ++mask) {
    PARM_ASSERT_OK_AND_ASSIGN(const Matrix decode, code.DecodeMatrix(mask));
    const OwnedTensor same = OwnedTensor::Of(DataType::kFp32, {1, 2}, {3, -7});
    const std::vector<TensorView> outputs(5, same.View());
    std::vector<OwnedTensor> results(
        4, OwnedTensor::Zeros(DataType::kFp32, {1, 2}));
    std::vector<MutableTensorView> views;
    for (OwnedTensor& result : results) views.push_back(result.MutableView());
    ASSERT_THAT(ApplyDecodeMatrix(decode, outputs, views), IsOk());
    for (const OwnedTensor& result : results) {
      EXPECT_NEAR(result.Values()[0], 3, 1e-4);
      EXPECT_NEAR(result.Values()[1], -7, 1e-4);
    }
  }
}

// Longer than the pieces that are coded at a time.
TEST(BerrutCodeTest, EncodesAsItsMatrixSays) {
  std::mt19937 random(kSeed);
  std::normal_distribution<double> normal;
  for (int64_t count : {0, 1, 1023, 1024, 3000}) {
    const BerrutCode code = MustCreate({.k = 8, .num_workers = 9});
    std::vector<OwnedTensor> members;
    std::vector<TensorView> views;
    for (int j = 0; j < 8; ++j) {
      std::vector<double> values(static_cast<size_t>(count));
      for (double& value : values) value = normal(random);
      members.push_back(OwnedTensor::Of(DataType::kFp32, {1, count}, values));
    }
    for (const OwnedTensor& member : members) views.push_back(member.View());
    std::vector<OwnedTensor> coded(
        9, OwnedTensor::Zeros(DataType::kFp32, {1, count}));
    std::vector<MutableTensorView> coded_views;
    for (OwnedTensor& query : coded) coded_views.push_back(query.MutableView());
    ASSERT_THAT(code.Encode(views, coded_views), IsOk());
    std::vector<std::vector<double>> inputs;
    for (const OwnedTensor& member : members) inputs.push_back(member.Values());
    for (int i = 0; i < 9; ++i) {
      const std::vector<double> got = coded[static_cast<size_t>(i)].Values();
      for (size_t at = 0; at < got.size(); ++at) {
        double want = 0;
        for (int j = 0; j < 8; ++j) {
          want += code.encode_matrix().at(i, j) *
                  inputs[static_cast<size_t>(j)][at];
        }
        ASSERT_NEAR(got[at], want, 1e-5);
      }
    }
  }
}

TEST(BerrutCodeTest, RefusesSizesOutOfRange) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(BerrutCode::Create({.k = 1, .num_workers = 2}), invalid);
  EXPECT_THAT(BerrutCode::Create({.k = 4, .num_workers = 3}), invalid);
  EXPECT_THAT(BerrutCode::Create({.k = 4, .num_workers = 17}), invalid);
  EXPECT_THAT(BerrutCode::Create({.k = -1, .num_workers = -1}), invalid);
  EXPECT_THAT(BerrutCode::Create({.k = 16, .num_workers = 16}), IsOk());
}

TEST(BerrutCodeTest, RefusesToDecodeFromNothing) {
  const BerrutCode code = MustCreate({.k = 4, .num_workers = 5});
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(code.DecodeMatrix(0), refused);
  EXPECT_THAT(code.DecodeMatrix(1U << 5), refused);
}

TEST(BerrutCodeTest, RefusesTensorsOfAnotherKind) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const BerrutCode code = MustCreate({.k = 2, .num_workers = 3});
  const OwnedTensor good = OwnedTensor::Zeros(DataType::kFp32, {1, 2});
  const OwnedTensor bytes = OwnedTensor::Zeros(DataType::kUint8, {1, 2});
  const OwnedTensor longer = OwnedTensor::Zeros(DataType::kFp32, {1, 3});
  std::vector<OwnedTensor> coded(3, good);
  const auto encode = [&](const std::vector<TensorView>& members) {
    std::vector<MutableTensorView> views;
    for (OwnedTensor& query : coded) views.push_back(query.MutableView());
    return code.Encode(members, views);
  };
  EXPECT_THAT(encode({good.View(), good.View()}), IsOk());
  EXPECT_THAT(encode({good.View()}), invalid);
  EXPECT_THAT(encode({good.View(), bytes.View()}), invalid);
  EXPECT_THAT(encode({bytes.View(), bytes.View()}), invalid);
  EXPECT_THAT(encode({good.View(), longer.View()}), invalid);
  coded[2] = longer;
  EXPECT_THAT(encode({good.View(), good.View()}), invalid);
  coded.pop_back();
  EXPECT_THAT(encode({good.View(), good.View()}), invalid);
}

TEST(BerrutCodeTest, RefusesToApplyWhatDoesNotFit) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const OwnedTensor good = OwnedTensor::Of(DataType::kFp32, {1}, {1});
  const OwnedTensor longer = OwnedTensor::Zeros(DataType::kFp32, {2});
  OwnedTensor result = good;
  const auto apply = [&](const Matrix& decode,
                         const std::vector<TensorView>& outputs) {
    const MutableTensorView results[] = {result.MutableView()};
    return ApplyDecodeMatrix(decode, outputs, results);
  };
  EXPECT_THAT(apply(Matrix(1, 2, 0.5), {good.View(), good.View()}), IsOk());
  EXPECT_THAT(result.Values(), testing::ElementsAre(1));
  EXPECT_THAT(apply(Matrix(1, 2, 0.5), {good.View()}), invalid);
  EXPECT_THAT(apply(Matrix(2, 2, 0.5), {good.View(), good.View()}), invalid);
  EXPECT_THAT(apply(Matrix(1, 2, 0.5), {good.View(), longer.View()}), invalid);
  EXPECT_THAT(apply(Matrix(1, 2, 0), {good.View(), good.View()}), invalid);
  EXPECT_THAT(apply(Matrix(1, 17, 1), std::vector(17, good.View())), invalid);
  EXPECT_THAT(ApplyDecodeMatrix(Matrix(1, 1, 1), {}, {}), invalid);
  // A column of zeros is not read.
  Matrix first(1, 2);
  first.at(0, 0) = 1;
  EXPECT_THAT(apply(first, {good.View(), TensorView()}), IsOk());
  const OwnedTensor bad = OwnedTensor::Of(
      DataType::kFp32, {1}, {std::numeric_limits<double>::quiet_NaN()});
  EXPECT_THAT(apply(first, {bad.View(), good.View()}),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace parm
