#include "proto/atomic_directory.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kMarker[] = "marker";

// Names of all that is in `path`, hidden files too.
std::vector<std::string> Names(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A disk on which no file can grow beyond `num_bytes`: write fails half-way as
// it does on a full one, also for root.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t num_bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = signal(SIGXFSZ, SIG_IGN);
    rlimit limit = before_;
    limit.rlim_cur = num_bytes;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  sighandler_t handler_;
};

TEST(AtomicDirectoryTest, WritesAllFilesAndNothingBeside) {
  const ScratchDirectory scratch;
  const std::string binary("\0\xff\n", 3);
  ASSERT_THAT(WriteDirectoryAtomically(scratch / "out",
                                       {{kMarker, ""}, {"b", binary}}, kMarker),
              IsOk());
  EXPECT_THAT(Names(scratch.path()), ElementsAre("out"));
  EXPECT_THAT(Names(scratch / "out"), ElementsAre("b", kMarker));
  EXPECT_EQ(ReadFile(scratch / "out/b"), binary);
}

TEST(AtomicDirectoryTest, FilesMayLieInFolders) {
  const ScratchDirectory scratch;
  const std::string marker = "0/marker";
  ASSERT_THAT(
      WriteDirectoryAtomically(
          scratch / "out",
          {{marker, "1"}, {"0/b", "2"}, {"1/b", "3"}, {"2/b", ""}}, marker),
      IsOk());
  EXPECT_THAT(Names(scratch / "out"), ElementsAre("0", "1", "2"));
  EXPECT_EQ(ReadFile(scratch / "out/0/b"), "2");
  EXPECT_EQ(ReadFile(scratch / "out/1/b"), "3");
  ASSERT_THAT(
      WriteDirectoryAtomically(scratch / "out", {{marker, "4"}}, marker),
      IsOk());
  EXPECT_THAT(Names(scratch / "out"), ElementsAre("0"));
  EXPECT_THAT(Names(scratch.path()), ElementsAre("out"));
}

TEST(AtomicDirectoryTest, FullDiskLeavesNoneOfItsFolders) {
  const ScratchDirectory scratch;
  absl::Status status;
  {
    const FileSizeLimit limit(1000);
    status = WriteDirectoryAtomically(
        scratch / "out", {{"0/a", "1"}, {"1/a", std::string(5000, 'x')}},
        "0/a");
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Names(scratch.path()), ElementsAre());
}

TEST(AtomicDirectoryTest, MakesMissingParentFolders) {
  const ScratchDirectory scratch;
  ASSERT_THAT(
      WriteDirectoryAtomically(scratch / "a/b/out/", {{kMarker, "x"}}, kMarker),
      IsOk());
  EXPECT_EQ(ReadFile(scratch / "a/b/out/marker"), "x");
}

TEST(AtomicDirectoryTest, ReplacesADirectoryThatHasTheMarker) {
  const ScratchDirectory scratch;
  ASSERT_THAT(WriteDirectoryAtomically(scratch / "out",
                                       {{kMarker, "1"}, {"old", "1"}}, kMarker),
              IsOk());
  ASSERT_THAT(WriteDirectoryAtomically(scratch / "out",
                                       {{kMarker, "2"}, {"new", "2"}}, kMarker),
              IsOk());
  EXPECT_THAT(Names(scratch.path()), ElementsAre("out"));
  EXPECT_THAT(Names(scratch / "out"), ElementsAre(kMarker, "new"));
  EXPECT_EQ(ReadFile(scratch / "out/marker"), "2");
}

TEST(AtomicDirectoryTest, ReplacesWhatALinkPointsAt) {
  const ScratchDirectory scratch;
  ASSERT_THAT(
      WriteDirectoryAtomically(scratch / "v1", {{kMarker, "1"}}, kMarker),
      IsOk());
  std::filesystem::create_directory_symlink("v1", scratch / "current");
  ASSERT_THAT(
      WriteDirectoryAtomically(scratch / "current", {{kMarker, "2"}}, kMarker),
      IsOk());
  EXPECT_TRUE(std::filesystem::is_symlink(scratch / "current"));
  EXPECT_EQ(ReadFile(scratch / "v1/marker"), "2");
}

TEST(AtomicDirectoryTest, ReplacesAnEmptyFolder) {
  const ScratchDirectory scratch;
  std::filesystem::create_directory(scratch / "out");
  ASSERT_THAT(
      WriteDirectoryAtomically(scratch / "out", {{kMarker, "1"}}, kMarker),
      IsOk());
  EXPECT_EQ(ReadFile(scratch / "out/marker"), "1");
}

TEST(AtomicDirectoryTest, RefusesToReplaceOtherThings) {
  const ScratchDirectory scratch;
  std::filesystem::create_directory(scratch / "home");
  WriteFile(scratch / "home/letter", "dear");
  WriteFile(scratch / "file", "text");
  for (const char* name : {"home", "file"}) {
    SCOPED_TRACE(name);
    EXPECT_THAT(
        WriteDirectoryAtomically(scratch / name, {{kMarker, "1"}}, kMarker),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(kMarker)));
  }
  EXPECT_THAT(Names(scratch.path()), ElementsAre("file", "home"));
  EXPECT_EQ(ReadFile(scratch / "home/letter"), "dear");
  EXPECT_EQ(ReadFile(scratch / "file"), "text");
}

TEST(AtomicDirectoryTest, FullDiskLeavesTheOldDirectoryAlone) {
  const ScratchDirectory scratch;
  ASSERT_THAT(
      WriteDirectoryAtomically(scratch / "out", {{kMarker, "1"}}, kMarker),
      IsOk());
  absl::Status status;
  {
    const FileSizeLimit limit(1000);
    status = WriteDirectoryAtomically(
        scratch / "out", {{kMarker, "2"}, {"big", std::string(5000, 'x')}},
        kMarker);
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               HasSubstr("File too large")));
  EXPECT_THAT(Names(scratch.path()), ElementsAre("out"));
  EXPECT_THAT(Names(scratch / "out"), ElementsAre(kMarker));
  EXPECT_EQ(ReadFile(scratch / "out/marker"), "1");
}

TEST(AtomicDirectoryTest, FullDiskLeavesNoParentFoldersBehind) {
  const ScratchDirectory scratch;
  absl::Status status;
  {
    const FileSizeLimit limit(1000);
    status = WriteDirectoryAtomically(
        scratch / "a/b/out", {{kMarker, std::string(5000, 'x')}}, kMarker);
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Names(scratch.path()), ElementsAre());
}

TEST(AtomicDirectoryTest, LinkThatLeadsNowhereIsUnavailable) {
  const ScratchDirectory scratch;
  std::filesystem::create_directory_symlink("absent", scratch / "link");
  EXPECT_THAT(
      WriteDirectoryAtomically(scratch / "link", {{kMarker, "1"}}, kMarker),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("rename into place")));
  EXPECT_THAT(Names(scratch.path()), ElementsAre("link"));
}

TEST(AtomicDirectoryTest, EmptyPathIsUnavailable) {
  EXPECT_THAT(WriteDirectoryAtomically("", {{kMarker, "1"}}, kMarker),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(WriteDirectoryAtomically("/", {{kMarker, "1"}}, kMarker),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(AtomicDirectoryTest, PlaceThatCannotBeWrittenIsUnavailable) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "file", "text");
  EXPECT_THAT(
      WriteDirectoryAtomically(scratch / "file/out", {{kMarker, "1"}}, kMarker),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("Not a directory")));
  EXPECT_THAT(Names(scratch.path()), ElementsAre("file"));
}

}  // namespace
}  // namespace parm
