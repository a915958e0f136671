#include "proto/sha256.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::Eq;

// FIPS 180-2, appendix B.1.
constexpr char kAbcDigest[] =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kEmptyDigest[] =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Sha256Test, DigestsThePublishedTestVectors) {
  EXPECT_EQ(ToHex(Sha256Of("abc")), kAbcDigest);
  EXPECT_EQ(ToHex(Sha256Of("")), kEmptyDigest);
}

TEST(Sha256Test, HexReadsBackToTheDigest) {
  const Sha256 digest = Sha256Of("abc");
  EXPECT_THAT(FromHex(ToHex(digest)), IsOkAndHolds(Eq(digest)));
  EXPECT_THAT(
      FromHex(
          "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
      IsOkAndHolds(Eq(digest)));
  EXPECT_EQ(ToBytes(digest).size(), 32U);
  EXPECT_EQ(ToBytes(digest)[0], '\xba');
}

TEST(Sha256Test, RefusesHexOfOtherLengthOrLetters) {
  EXPECT_THAT(FromHex(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FromHex(std::string(63, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FromHex(std::string(65, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FromHex(std::string(64, 'g')),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Sha256Test, FileDigestEqualsDigestOfItsBytes) {
  const ScratchDirectory scratch;
  // Sizes around the block that is read at once.
  for (size_t size : {size_t{0}, size_t{1}, size_t{65535}, size_t{65536},
                      size_t{65537}, size_t{200000}}) {
    SCOPED_TRACE(size);
    const std::string bytes(size, 'x');
    WriteFile(scratch / "file", bytes);
    EXPECT_THAT(Sha256OfFile(scratch / "file"),
                IsOkAndHolds(Eq(Sha256Of(bytes))));
  }
}

TEST(Sha256Test, FileThatCannotBeReadIsNotFound) {
  const ScratchDirectory scratch;
  EXPECT_THAT(Sha256OfFile(scratch / "absent"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Sha256OfFile(scratch.path()),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace parm
