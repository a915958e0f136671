#include "proto/npy_header.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

TEST(NpyHeaderTest, IsReadWithoutTheNumbers) {
  const std::string start = WriteNpyHeader(DataType::kFp32, {5, 1, 28});
  for (const std::string& file : {start, start + "some of the numbers"}) {
    PARM_ASSERT_OK_AND_ASSIGN(const NpyHeader header,
                              ParseNpyHeader(file, "f"));
    EXPECT_EQ(header.datatype, DataType::kFp32);
    EXPECT_EQ(header.shape, (std::vector<int64_t>{5, 1, 28}));
    EXPECT_EQ(header.size, start.size());
  }
}

TEST(NpyHeaderTest, UnusableHeadersAreInvalid) {
  const std::string good = WriteNpyHeader(DataType::kFp32, {2});
  for (const std::string& bad :
       {std::string("short"), absl::StrReplaceAll(good, {{"NUMPY", "NUMPI"}}),
        absl::StrReplaceAll(good, {{"<f4", ">f4"}}),
        absl::StrReplaceAll(good, {{"False", "True "}}),
        absl::StrReplaceAll(good, {{"(2,)", "(x,)"}})}) {
    EXPECT_THAT(ParseNpyHeader(bad, "f"),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

TEST(NpyHeaderTest, HeadersCutShortAreDataLoss) {
  const std::string good = WriteNpyHeader(DataType::kFp32, {2});
  for (size_t size = 12; size < good.size(); ++size) {
    EXPECT_THAT(ParseNpyHeader(good.substr(0, size), "f"),
                StatusIs(absl::StatusCode::kDataLoss))
        << "size=" << size;
  }
}

TEST(NpyHeaderTest, SaysWhichDatatypesFilesHold) {
  EXPECT_TRUE(HasNpyType(DataType::kUint8));
  EXPECT_TRUE(HasNpyType(DataType::kFp16));
  EXPECT_FALSE(HasNpyType(DataType::kBf16));
  EXPECT_FALSE(HasNpyType(DataType::kBytes));
}

}  // namespace
}  // namespace parm
