#include "parity_trainer/idx_reader.h"

#include <zlib.h>

#include <string>

#include "gtest/gtest.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kLimit = 1000;

std::string Gzip(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  return ReadFile(path);
}

class IdxReaderTest : public testing::Test {
 protected:
  absl::StatusOr<IdxArray> Read(const std::string& bytes) {
    WriteFile(scratch_ / "f", bytes);
    return ReadIdx(scratch_ / "f", kLimit);
  }

  const ScratchDirectory scratch_;
};

TEST_F(IdxReaderTest, ReadsPlainAndGzipAlike) {
  const std::string bytes = IdxBytes({2, 3}, "abcdef");
  const std::string gzip = Gzip(scratch_ / "g", bytes);
  ASSERT_NE(gzip, bytes);
  for (const std::string& file : {bytes, gzip}) {
    PARM_ASSERT_OK_AND_ASSIGN(const IdxArray array, Read(file));
    EXPECT_THAT(array.shape, ElementsAre(2, 3));
    EXPECT_EQ(array.values, "abcdef");
  }
}

TEST_F(IdxReaderTest, EveryTruncationIsDataLoss) {
  const std::string bytes = IdxBytes({2, 3}, "abcdef");
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(Read(bytes.substr(0, size)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("truncated")))
        << "size=" << size;
  }
}

TEST_F(IdxReaderTest, DamagedGzipIsDataLoss) {
  std::string gzip = Gzip(
      scratch_ / "g", IdxBytes({900}, Pictures(14, 1).substr(0, 896) + "tail"));
  // Also where only the checksum and the size behind it are missing.
  for (const size_t size :
       {gzip.size() / 2, gzip.size() - 9, gzip.size() - 1}) {
    EXPECT_THAT(Read(gzip.substr(0, size)),
                StatusIs(absl::StatusCode::kDataLoss))
        << size;
  }
  // The checksum, eight bytes before the end.
  gzip[gzip.size() - 8] = static_cast<char>(gzip[gzip.size() - 8] ^ 1);
  EXPECT_THAT(Read(gzip), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(IdxReaderTest, LeftOverBytesAreDataLoss) {
  EXPECT_THAT(Read(IdxBytes({2}, "abc")),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("left over")));
}

TEST_F(IdxReaderTest, OtherFormatsAreInvalid) {
  for (const std::string& bytes :
       {std::string("\x01\0\x08\x01", 4), std::string("\0\x01\x08\x01", 4),
        std::string("\0\0\x0D\x01", 4), std::string("\0\0\x08\0", 4),
        std::string("\0\0\x08\x05", 4)}) {
    EXPECT_THAT(Read(bytes), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("not an IDX file")));
  }
}

TEST_F(IdxReaderTest, AnnouncedSizeIsBoundedBeforeReading) {
  EXPECT_THAT(Read(IdxBytes({1LL << 31, 1LL << 31}, "")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Read(IdxBytes({kLimit + 1}, "")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("announces 1001")));
}

TEST_F(IdxReaderTest, MissingFileIsNotFound) {
  EXPECT_THAT(ReadIdx(scratch_ / "none", kLimit),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

}  // namespace
}  // namespace parm
