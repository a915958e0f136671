// Where pictures go in a grid, and which pictures fit, by eye. Means over all
// sizes are compared with float64 in code_contract_test.cc.

#include "encoder/picture_grid.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

OwnedTensor Pictures(DataType datatype, std::vector<int64_t> shape,
                     const std::vector<double>& values) {
  return OwnedTensor::Of(datatype, std::move(shape), values);
}

std::vector<double> Encode(int k, const std::vector<OwnedTensor>& members) {
  std::vector<TensorView> views;
  for (const OwnedTensor& member : members) views.push_back(member.View());
  OwnedTensor parity =
      OwnedTensor::Zeros(members[0].datatype, members[0].shape);
  PictureGrid(k).Encode(views, parity.MutableView());
  return parity.Values();
}

TEST(PictureGridTest, HasAsManyColumnsAsTheRootOfK) {
  const int columns[] = {0, 1, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4};
  const int rows[] = {0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4};
  for (int k = 1; k <= 16; ++k) {
    EXPECT_EQ(PictureGrid(k).num_columns(), columns[k]) << k;
    EXPECT_EQ(PictureGrid(k).num_rows(), rows[k]) << k;
  }
}

TEST(PictureGridTest, PutsTwoPicturesSideBySide) {
  const OwnedTensor a =
      Pictures(DataType::kFp32, {1, 1, 2, 4}, {1, 3, 5, 7, 2, 4, 6, 8});
  const OwnedTensor b =
      Pictures(DataType::kFp32, {1, 1, 2, 4}, {10, 30, 50, 70, 0, 2, 4, 6});
  EXPECT_THAT(Encode(2, {a, b}), ElementsAre(2, 6, 20, 60,  //
                                             3, 7, 1, 5));
}

TEST(PictureGridTest, FillsSpareCellsChannelByChannel) {
  // Two channels of 2 x 2: each cell is one pixel.
  const OwnedTensor a =
      Pictures(DataType::kUint8, {1, 2, 2, 2}, {0, 0, 0, 0, 8, 8, 8, 8});
  const OwnedTensor b =
      Pictures(DataType::kUint8, {1, 2, 2, 2}, {3, 3, 3, 3, 8, 8, 8, 8});
  const OwnedTensor c =
      Pictures(DataType::kUint8, {1, 2, 2, 2}, {4, 4, 5, 5, 8, 8, 8, 9});
  // Means of channel 0: 0, 3, 4.5 -> 5; of those 8 / 3 -> 3. Channel 1: 8.25.
  EXPECT_THAT(Encode(3, {a, b, c}), ElementsAre(0, 3, 5, 3, 8, 8, 8, 8));
}

TEST(PictureGridTest, RepeatsMembersOfShortGroups) {
  const OwnedTensor a = Pictures(DataType::kFp32, {1, 1, 2, 2}, {1, 1, 1, 1});
  const OwnedTensor b = Pictures(DataType::kFp32, {1, 1, 2, 2}, {5, 5, 5, 5});
  EXPECT_THAT(Encode(4, {a, b}), ElementsAre(1, 5, 1, 5));
  EXPECT_THAT(Encode(4, {a}), ElementsAre(1, 1, 1, 1));
  EXPECT_THAT(Encode(3, {a, b}), ElementsAre(1, 5, 1, 7.0F / 3));
}

TEST(PictureGridTest, RefusesWhatIsNoPicture) {
  const PictureGrid grid(4);
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{
           {}, {4}, {4, 4}, {1, 4, 4}, {1, 1, 1, 4, 4}}) {
    EXPECT_THAT(grid.CheckPictures(DataType::kFp32, shape),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("want [batch,channels,height,width]")));
  }
}

TEST(PictureGridTest, RefusesSizesThatDoNotDivide) {
  const auto refused = [](absl::string_view wanted) {
    return StatusIs(absl::StatusCode::kInvalidArgument,
                    HasSubstr(std::string(wanted)));
  };
  const auto check = [](int k, int64_t height, int64_t width) {
    const int64_t shape[] = {1, 3, height, width};
    return PictureGrid(k).CheckPictures(DataType::kUint8, shape);
  };
  EXPECT_THAT(check(2, 27, 28), IsOk());
  EXPECT_THAT(check(2, 28, 27), refused("a width that is a multiple of 2"));
  EXPECT_THAT(check(4, 27, 28), refused("a height that is a multiple of 2"));
  EXPECT_THAT(check(9, 32, 33), refused("a height that is a multiple of 3"));
  EXPECT_THAT(check(9, 33, 33), IsOk());
  EXPECT_THAT(check(16, 28, 32), IsOk());
  EXPECT_THAT(check(4, -1, -1), IsOk());
  EXPECT_THAT(check(4, 0, 0), IsOk());
}

TEST(PictureGridTest, RefusesDatatypesItCannotAverage) {
  const int64_t shape[] = {1, 3, 4, 4};
  for (DataType datatype : {DataType::kInt8, DataType::kFp64, DataType::kInt64,
                            DataType::kBool, DataType::kBytes}) {
    EXPECT_THAT(
        PictureGrid(4).CheckPictures(datatype, shape),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want FP32")));
  }
}

}  // namespace
}  // namespace parm
