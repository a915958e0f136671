#include "parity_trainer/query_reader.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/npy.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

class QueryReaderTest : public testing::Test {
 protected:
  void Write(const std::string& name, const HostTensor& array) const {
    WriteFile(scratch_ / name, SerializeNpy(array));
  }

  const ScratchDirectory scratch_;
};

TEST_F(QueryReaderTest, JoinsFilesInTheOrderOfTheirNames) {
  Write("queries-000010.npy", {DataType::kUint8, {1, 3}, "ghi"});
  Write("queries-000002.npy", {DataType::kUint8, {2, 3}, "abcdef"});
  WriteFile(scratch_ / "queries-000011.npy.77.partial", "half");
  WriteFile(scratch_ / "notes.txt", "mine");
  PARM_ASSERT_OK_AND_ASSIGN(const RawSplit split, ReadQueries(scratch_.path()));
  EXPECT_EQ(split.datatype, DataType::kUint8);
  EXPECT_THAT(split.sample_shape, ElementsAre(3));
  EXPECT_EQ(split.values, "abcdefghi");
  EXPECT_THAT(split.labels, SizeIs(3));
}

TEST_F(QueryReaderTest, DirectoryWithoutSamplesIsNotFound) {
  EXPECT_THAT(ReadQueries(scratch_.path()),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("no .npy file with samples")));
  EXPECT_THAT(ReadQueries(scratch_ / "missing"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot read")));
}

TEST_F(QueryReaderTest, ArraysThatHoldNoSamplesAreInvalid) {
  Write("a.npy", {DataType::kUint8, {3}, "abc"});
  EXPECT_THAT(ReadQueries(scratch_.path()),
              StatusIs(kInvalid, HasSubstr("got UINT8[3], want UINT8 or FP32 "
                                           "[N,...] in")));
  Write("a.npy", {DataType::kInt64, {1, 1}, std::string(8, 'x')});
  EXPECT_THAT(ReadQueries(scratch_.path()),
              StatusIs(kInvalid, HasSubstr("holds no samples: got INT64")));
}

TEST_F(QueryReaderTest, SamplesOfAnotherKindNameTheirFile) {
  Write("a.npy", {DataType::kUint8, {1, 3}, "abc"});
  Write("b.npy", {DataType::kUint8, {1, 2}, "de"});
  EXPECT_THAT(ReadQueries(scratch_.path()),
              StatusIs(kInvalid, HasSubstr("differ: got UINT8[2], want "
                                           "UINT8[3] in " +
                                           scratch_ / "b.npy")));
  Write("b.npy", {DataType::kFp32, {1, 3}, std::string(12, 'x')});
  EXPECT_THAT(ReadQueries(scratch_.path()), StatusIs(kInvalid));
}

TEST_F(QueryReaderTest, CutFileIsDataLoss) {
  const std::string whole = SerializeNpy({DataType::kUint8, {2, 3}, "abcdef"});
  WriteFile(scratch_ / "a.npy", whole.substr(0, whole.size() - 1));
  EXPECT_THAT(ReadQueries(scratch_.path()),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace parm
