#include "frontend/tensor_rows.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/tensors.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

oip::Tensor BytesTensor(const std::vector<int64_t>& shape,
                        const std::vector<std::string>& elements) {
  std::string data;
  for (const std::string& element : elements) {
    const auto size = static_cast<uint32_t>(element.size());
    data.append(reinterpret_cast<const char*>(&size), sizeof(size));
    data += element;
  }
  return {.spec = {.name = "s", .datatype = DataType::kBytes, .shape = shape},
          .data = Buffer::FromString(data)};
}

TEST(TensorRowsTest, JoinsOnTheBatchDimensionInOrder) {
  const oip::Tensor a = Fp32Tensor("x", {1, 2}, {1, 2});
  const oip::Tensor b = Fp32Tensor("x", {2, 2}, {3, 4, 5, 6});
  PARM_ASSERT_OK_AND_ASSIGN(const oip::Tensor joined, JoinRows({&a, &b}));
  EXPECT_THAT(joined.spec.shape, ElementsAre(3, 2));
  EXPECT_THAT(Floats(joined), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(TensorRowsTest, SharesTheBytesOfOneAlone) {
  const oip::Tensor a = Fp32Tensor("x", {1, 2}, {1, 2});
  PARM_ASSERT_OK_AND_ASSIGN(const oip::Tensor joined, JoinRows({&a}));
  EXPECT_EQ(joined.data.bytes().data(), a.data.bytes().data());
}

TEST(TensorRowsTest, RefusesToJoinWhatDiffers) {
  const oip::Tensor a = Fp32Tensor("x", {1, 2}, {1, 2});
  const oip::Tensor wider = Fp32Tensor("x", {1, 3}, {1, 2, 3});
  const oip::Tensor scalar = Fp32Tensor("x", {}, {1});
  oip::Tensor other_type = a;
  other_type.spec.datatype = DataType::kInt32;
  for (const oip::Tensor& b : {wider, scalar, other_type}) {
    EXPECT_THAT(JoinRows({&a, &b}), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("of one batch differ")));
  }
}

TEST(TensorRowsTest, CutsRowsOutWithoutACopy) {
  const oip::Tensor t = Fp32Tensor("y", {3, 2}, {1, 2, 3, 4, 5, 6});
  PARM_ASSERT_OK_AND_ASSIGN(const oip::Tensor rows, SliceRows(t, 1, 2));
  EXPECT_THAT(rows.spec.shape, ElementsAre(2, 2));
  EXPECT_THAT(Floats(rows), ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(rows.data.bytes().data(), t.data.bytes().data() + 8);
}

TEST(TensorRowsTest, CutsRowsOfBytesByTheirLengths) {
  const oip::Tensor t = BytesTensor({3, 2}, {"a", "", "bcd", "e", "fg", "hi"});
  PARM_ASSERT_OK_AND_ASSIGN(const oip::Tensor rows, SliceRows(t, 1, 1));
  const oip::Tensor want = BytesTensor({1, 2}, {"bcd", "e"});
  EXPECT_EQ(rows.data.bytes(), want.data.bytes());
}

TEST(TensorRowsTest, RefusesRowsThatAreNotThere) {
  const oip::Tensor t = Fp32Tensor("y", {3, 2}, {1, 2, 3, 4, 5, 6});
  for (const auto& [first, count] :
       {std::pair(2, 2), std::pair(-1, 1), std::pair(0, 4)}) {
    EXPECT_THAT(SliceRows(t, first, count),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("too few rows")));
  }
  EXPECT_THAT(SliceRows(Fp32Tensor("y", {}, {1}), 0, 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  const oip::Tensor lying = Fp32Tensor("y", {4, 2}, {1, 2, 3, 4});
  EXPECT_THAT(SliceRows(lying, 2, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("shorter than its shape")));
  oip::Tensor cut = BytesTensor({3, 1}, {"abc", "def", "ghi"});
  cut.data = cut.data.Slice(0, 9);
  EXPECT_THAT(SliceRows(cut, 1, 1), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("ends early")));
}

TEST(TensorRowsTest, FindsEveryValueThatIsNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float largest = std::numeric_limits<float>::max();
  for (size_t size = 1; size < 40; ++size) {
    std::vector<float> values(size, largest);
    const std::vector<int64_t> shape = {1, static_cast<int64_t>(size)};
    EXPECT_TRUE(AllFinite(Fp32Tensor("x", shape, values)));
    for (const float bad : {inf, -inf, nan}) {
      values[size * 2 / 3] = bad;
      EXPECT_FALSE(AllFinite(Fp32Tensor("x", shape, values))) << size;
    }
  }
}

TEST(TensorRowsTest, KnowsTheExponentsOfOtherTypes) {
  const auto finite = [](DataType datatype, auto word) {
    oip::Tensor tensor{.spec = {.datatype = datatype, .shape = {1}}};
    tensor.data = Buffer::CopyOf(
        {reinterpret_cast<const std::byte*>(&word), sizeof(word)});
    return AllFinite(tensor);
  };
  EXPECT_TRUE(finite(DataType::kFp16, uint16_t{0x7BFF}));
  EXPECT_FALSE(finite(DataType::kFp16, uint16_t{0xFC00}));
  EXPECT_TRUE(finite(DataType::kBf16, uint16_t{0x7F7F}));
  EXPECT_FALSE(finite(DataType::kBf16, uint16_t{0x7F80}));
  EXPECT_TRUE(finite(DataType::kFp64, uint64_t{0x7FEF'FFFF'FFFF'FFFF}));
  EXPECT_FALSE(finite(DataType::kFp64, uint64_t{0xFFF0'0000'0000'0000}));
  EXPECT_TRUE(finite(DataType::kInt32, uint32_t{0x7F80'0000}));
}

TEST(TensorRowsTest, ReadsValuesThatAreNotAligned) {
  const std::vector<float> values = {1, std::numeric_limits<float>::infinity()};
  std::string bytes(1, 'x');
  bytes.append(reinterpret_cast<const char*>(values.data()), 8);
  oip::Tensor tensor{.spec = {.datatype = DataType::kFp32, .shape = {2}},
                     .data = Buffer::FromString(bytes).Slice(1, 8)};
  EXPECT_FALSE(AllFinite(tensor));
}

TEST(TensorRowsTest, FindsTheLargestTensor) {
  EXPECT_EQ(LargestTensor({}), 0U);
  EXPECT_EQ(LargestTensor({Fp32Tensor("x", {1, 1}, {1}),
                           Fp32Tensor("y", {1, 3}, {1, 2, 3}),
                           Fp32Tensor("z", {1, 2}, {1, 2})}),
            12U);
}

}  // namespace
}  // namespace parm
