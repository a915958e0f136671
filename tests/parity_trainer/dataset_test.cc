#include "parity_trainer/dataset.h"

#include <cmath>
#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "parity_trainer/npy.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

class DatasetTest : public testing::Test {
 protected:
  absl::StatusOr<Dataset> LoadIdx(int64_t limit_train = 0) {
    return LoadDataset(
        {.source = "idx:" + scratch_.path(), .limit_train = limit_train});
  }
  absl::StatusOr<Dataset> LoadNpy() {
    return LoadDataset({.source = "npy:" + scratch_.path()});
  }
  void WriteTrainLabels(const std::string& labels) {
    WriteFile(scratch_ / "train-labels-idx1-ubyte",
              IdxBytes({static_cast<int64_t>(labels.size())}, labels));
  }

  const ScratchDirectory scratch_;
};

TEST_F(DatasetTest, IdxPicturesGainOneChannel) {
  WriteIdxData(scratch_.path(), 12, 5);
  PARM_ASSERT_OK_AND_ASSIGN(const Dataset data, LoadIdx());
  EXPECT_EQ(data.datatype, DataType::kUint8);
  EXPECT_THAT(data.sample_shape, ElementsAre(1, kSide, kSide));
  EXPECT_EQ(data.num_classes, kClasses);
  EXPECT_EQ(data.train.size(), 12);
  EXPECT_EQ(data.train.values, Pictures(12, 1));
  EXPECT_THAT(data.test.labels, ElementsAre(0, 1, 2, 3, 0));
}

TEST_F(DatasetTest, NpyArraysKeepTheirShape) {
  WriteNpyData(scratch_.path(), 8, 4);
  PARM_ASSERT_OK_AND_ASSIGN(const Dataset data, LoadNpy());
  EXPECT_EQ(data.datatype, DataType::kFp32);
  EXPECT_THAT(data.sample_shape, ElementsAre(1, kSide, kSide));
  EXPECT_EQ(data.train.values.size(), 8U * kSide * kSide * sizeof(float));
}

TEST_F(DatasetTest, LimitKeepsTheFirstSamples) {
  WriteIdxData(scratch_.path(), 12, 5);
  PARM_ASSERT_OK_AND_ASSIGN(const Dataset data, LoadIdx(/*limit_train=*/3));
  EXPECT_THAT(data.train.labels, ElementsAre(0, 1, 2));
  EXPECT_EQ(data.train.values, Pictures(12, 1).substr(0, 3 * kSide * kSide));
  // The classes are those of the whole file.
  EXPECT_EQ(data.num_classes, kClasses);
}

TEST_F(DatasetTest, TestSetAloneNeedsNoTrainingFiles) {
  WriteIdxData(scratch_.path(), 12, 8);
  std::filesystem::remove(scratch_ / "train-images-idx3-ubyte");
  EXPECT_THAT(LoadIdx(), StatusIs(absl::StatusCode::kNotFound));
  PARM_ASSERT_OK_AND_ASSIGN(
      const Dataset data,
      LoadDataset({.source = "idx:" + scratch_.path(), .with_train = false}));
  EXPECT_EQ(data.test.size(), 8);
}

TEST_F(DatasetTest, LabelBeyondAGapIsOutOfRange) {
  WriteIdxData(scratch_.path(), 4, 4);
  WriteTrainLabels(std::string("\0\1\2\xC8", 4));
  EXPECT_THAT(LoadIdx(), StatusIs(kInvalid, HasSubstr("class 3 never occurs")));
}

TEST_F(DatasetTest, StatedClassesBoundTheLabels) {
  WriteIdxData(scratch_.path(), 4, 4);
  const std::string source = "idx:" + scratch_.path();
  EXPECT_THAT(LoadDataset({.source = source, .num_classes = 3}),
              StatusIs(kInvalid, HasSubstr("label out of range: training "
                                           "sample 3 has 3, want 0 to 2")));
  PARM_ASSERT_OK_AND_ASSIGN(const Dataset data,
                            LoadDataset({.source = source, .num_classes = 9}));
  EXPECT_EQ(data.num_classes, 9);
}

TEST_F(DatasetTest, TestLabelUnknownInTrainingIsOutOfRange) {
  WriteIdxData(scratch_.path(), 3, 4);
  EXPECT_THAT(LoadIdx(), StatusIs(kInvalid, HasSubstr("test sample 3 has 3")));
}

TEST_F(DatasetTest, NegativeLabelIsOutOfRange) {
  WriteNpyData(scratch_.path(), 4, 4);
  WriteFile(scratch_ / "train_y.npy",
            SerializeNpy({DataType::kInt8, {4}, std::string("\0\1\2\xFF", 4)}));
  EXPECT_THAT(LoadNpy(), StatusIs(kInvalid, HasSubstr("sample 3 has -1")));
}

TEST_F(DatasetTest, NanNamesItsSample) {
  WriteNpyData(scratch_.path(), 4, 4);
  PARM_ASSERT_OK_AND_ASSIGN(HostTensor samples,
                            ReadNpy(scratch_ / "test_x.npy", 1 << 20));
  const float nan = std::nanf("");
  std::memcpy(samples.bytes.data() + 2 * kSide * kSide * sizeof(float), &nan,
              sizeof(nan));
  WriteFile(scratch_ / "test_x.npy", SerializeNpy(samples));
  EXPECT_THAT(LoadNpy(), StatusIs(kInvalid, HasSubstr("test sample 2")));
}

TEST_F(DatasetTest, CountsThatDifferAreInvalid) {
  WriteIdxData(scratch_.path(), 4, 4);
  WriteTrainLabels(Labels(5));
  EXPECT_THAT(LoadIdx(), StatusIs(kInvalid, HasSubstr("do not fit together")));
  WriteNpyData(scratch_.path(), 4, 4);
  WriteFile(scratch_ / "train_y.npy",
            SerializeNpy({DataType::kUint8, {2, 2}, Labels(4)}));
  EXPECT_THAT(LoadNpy(), StatusIs(kInvalid, HasSubstr("do not fit together")));
}

TEST_F(DatasetTest, UnsupportedTypesAreInvalid) {
  WriteNpyData(scratch_.path(), 4, 4);
  WriteFile(scratch_ / "train_y.npy",
            SerializeNpy({DataType::kFp32, {4}, std::string(16, '\0')}));
  EXPECT_THAT(LoadNpy(), StatusIs(kInvalid, HasSubstr("no integers")));
  WriteFile(scratch_ / "test_x.npy",
            SerializeNpy({DataType::kFp64, {1, 1}, std::string(8, '\0')}));
  EXPECT_THAT(LoadNpy(), StatusIs(kInvalid, HasSubstr("want UINT8 or FP32")));
}

TEST_F(DatasetTest, TrainAndTestMustBeAlike) {
  WriteNpyData(scratch_.path(), 4, 4);
  WriteFile(scratch_ / "test_x.npy",
            SerializeNpy({DataType::kUint8, {4, 2}, std::string(8, '\0')}));
  EXPECT_THAT(LoadNpy(), StatusIs(kInvalid, HasSubstr("differ")));
}

TEST_F(DatasetTest, EmptySetIsInvalid) {
  WriteIdxData(scratch_.path(), 4, 0);
  EXPECT_THAT(LoadIdx(), StatusIs(kInvalid, HasSubstr("no samples")));
}

TEST_F(DatasetTest, LastFifthOfQueriesIsTheTestSet) {
  WriteFile(scratch_ / "queries-000001.npy",
            SerializeNpy({DataType::kUint8, {5, 2}, "aabbccddee"}));
  WriteFile(scratch_ / "queries-000002.npy",
            SerializeNpy({DataType::kUint8, {1, 2}, "ff"}));
  const std::string source = "queries:" + scratch_.path();
  PARM_ASSERT_OK_AND_ASSIGN(Dataset data,
                            LoadDataset({.source = source, .num_classes = 3}));
  EXPECT_FALSE(data.labelled);
  EXPECT_EQ(data.num_classes, 3);
  EXPECT_THAT(data.sample_shape, ElementsAre(2));
  EXPECT_EQ(data.train.values, "aabbccdd");
  EXPECT_EQ(data.train.size(), 4);
  EXPECT_EQ(data.test.values, "eeff");
  EXPECT_EQ(data.test.size(), 2);
  // The test set is the same where nothing is to be learned.
  PARM_ASSERT_OK_AND_ASSIGN(
      data, LoadDataset({.source = source, .with_train = false}));
  EXPECT_EQ(data.test.values, "eeff");
  EXPECT_EQ(data.train.size(), 0);
}

TEST_F(DatasetTest, OneQueryIsNoTrainingSet) {
  WriteFile(scratch_ / "q.npy", SerializeNpy({DataType::kUint8, {1, 2}, "aa"}));
  const std::string source = "queries:" + scratch_.path();
  EXPECT_THAT(LoadDataset({.source = source, .with_train = false}), IsOk());
  EXPECT_THAT(LoadDataset({.source = source}),
              StatusIs(kInvalid, HasSubstr("no samples")));
}

TEST_F(DatasetTest, UnknownSourceNamesTheForms) {
  EXPECT_THAT(
      LoadDataset({.source = "csv:x"}),
      StatusIs(kInvalid, HasSubstr("want idx:DIR, npy:DIR or queries:DIR")));
}

TEST_F(DatasetTest, WireSamplesConvertBytesToFloats) {
  WriteIdxData(scratch_.path(), 4, 4);
  PARM_ASSERT_OK_AND_ASSIGN(const Dataset data, LoadIdx());
  const std::string pictures = Pictures(4, 1);
  const size_t size = kSide * kSide;
  std::string bytes;
  AppendWireSamples(data, data.train, {2, 0}, DataType::kUint8, &bytes);
  EXPECT_EQ(bytes, pictures.substr(2 * size, size) + pictures.substr(0, size));
  std::string floats;
  AppendWireSamples(data, data.train, {3}, DataType::kFp32, &floats);
  ASSERT_EQ(floats.size(), size * sizeof(float));
  for (size_t i = 0; i < size; ++i) {
    float value = 0;
    std::memcpy(&value, floats.data() + i * sizeof(float), sizeof(float));
    EXPECT_EQ(value, static_cast<uint8_t>(pictures[3 * size + i]));
  }
}

}  // namespace
}  // namespace parm
