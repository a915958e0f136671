#include "proto/atomic_file.h"

#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

int64_t CountFiles(const std::string& directory) {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    static_cast<void>(entry);
    ++count;
  }
  return count;
}

TEST(AtomicFileTest, ReadsBackWhatWasWritten) {
  const ScratchDirectory scratch;
  const std::string contents("a\0b\n", 4);
  ASSERT_THAT(WriteFileAtomically(scratch / "f", contents), IsOk());
  EXPECT_THAT(ReadWholeFile(scratch / "f", 4), IsOkAndHolds(Eq(contents)));
  EXPECT_EQ(CountFiles(scratch.path()), 1);
}

TEST(AtomicFileTest, FullDiskLeavesOldFileAlone) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "f", "old");
  {
    const FileSizeLimit full(1000);
    EXPECT_THAT(WriteFileAtomically(scratch / "f", std::string(5000, 'x')),
                StatusIs(absl::StatusCode::kResourceExhausted,
                         HasSubstr("cannot write")));
  }
  EXPECT_EQ(ReadFile(scratch / "f"), "old");
  EXPECT_EQ(CountFiles(scratch.path()), 1);
}

TEST(AtomicFileTest, RefusedRenameLeavesNothingBehind) {
  const ScratchDirectory scratch;
  std::filesystem::create_directory(scratch / "taken");
  EXPECT_THAT(WriteFileAtomically(scratch / "taken", "x"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("taken")));
  EXPECT_EQ(CountFiles(scratch.path()), 1);
}

TEST(AtomicFileTest, MissingFolderIsNotFound) {
  const ScratchDirectory scratch;
  EXPECT_THAT(WriteFileAtomically(scratch / "no/f", "x"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/f")));
  EXPECT_THAT(ReadWholeFile(scratch / "f", 1),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot open")));
}

TEST(AtomicFileTest, FolderIsNoReadableFile) {
  const ScratchDirectory scratch;
  EXPECT_THAT(ReadWholeFile(scratch.path(), 1),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(AtomicFileTest, FileAboveTheLimitIsRefused) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "f", "12345");
  EXPECT_THAT(ReadWholeFile(scratch / "f", 4),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more than 4 bytes")));
}

}  // namespace
}  // namespace parm
