#include "frontend/capture_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/npy_header.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

const SampleLayout kPair{.datatype = DataType::kUint8, .shape = {2}};

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

TEST(CaptureDirectoryTest, WritesPartsThatReplaceShorterOnes) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(const auto directory,
                            CaptureDirectory::Open(scratch.path()));
  EXPECT_EQ(directory->next_part(), 1U);
  ASSERT_THAT(directory->WritePart(1, kPair, 1, "ab"), IsOk());
  ASSERT_THAT(directory->WritePart(1, kPair, 2, "abcd"), IsOk());
  EXPECT_THAT(FilesIn(scratch.path()),
              UnorderedElementsAre("queries-000001.npy"));
  const std::string file = ReadFile(scratch / "queries-000001.npy");
  PARM_ASSERT_OK_AND_ASSIGN(const NpyHeader header, ParseNpyHeader(file, "f"));
  EXPECT_EQ(header.datatype, DataType::kUint8);
  EXPECT_EQ(header.shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(file.substr(header.size), "abcd");
}

TEST(CaptureDirectoryTest, CountsWhatEarlierRunsLeft) {
  const ScratchDirectory scratch;
  {
    PARM_ASSERT_OK_AND_ASSIGN(const auto directory,
                              CaptureDirectory::Open(scratch.path()));
    ASSERT_THAT(directory->WritePart(1, kPair, 2, "abcd"), IsOk());
    ASSERT_THAT(directory->WritePart(7, kPair, 1, "ef"), IsOk());
  }
  WriteFile(scratch / "notes.txt", "mine");
  PARM_ASSERT_OK_AND_ASSIGN(const auto directory,
                            CaptureDirectory::Open(scratch.path()));
  EXPECT_EQ(directory->layout(), kPair);
  EXPECT_EQ(directory->rows(), 3U);
  EXPECT_EQ(directory->bytes(), 6U);
  EXPECT_EQ(directory->next_part(), 8U);
}

TEST(CaptureDirectoryTest, RemovesWhatADeadProcessLeftUnfinished) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "queries-000003.npy.77.partial", "half");
  WriteFile(scratch / "other.partial", "not ours");
  PARM_ASSERT_OK_AND_ASSIGN(const auto directory,
                            CaptureDirectory::Open(scratch.path()));
  EXPECT_THAT(FilesIn(scratch.path()), UnorderedElementsAre("other.partial"));
}

TEST(CaptureDirectoryTest, IsHeldByOneAtATime) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(auto first, CaptureDirectory::Open(scratch.path()));
  EXPECT_THAT(CaptureDirectory::Open(scratch.path()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("in use by another process")));
  first.reset();
  EXPECT_THAT(CaptureDirectory::Open(scratch.path()), IsOk());
}

TEST(CaptureDirectoryTest, RefusesWhatCannotBeWrittenTo) {
  const ScratchDirectory scratch;
  EXPECT_THAT(CheckCaptureDirectory(scratch / "missing"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("No such file or directory")));
  WriteFile(scratch / "file", "x");
  EXPECT_THAT(CheckCaptureDirectory(scratch / "file"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("is no directory")));
  std::filesystem::create_directory(scratch / "locked");
  ASSERT_EQ(chmod((scratch / "locked").c_str(), 0500), 0);
  if (geteuid() != 0) {  // root may write anywhere
    EXPECT_THAT(CheckCaptureDirectory(scratch / "locked"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("cannot be read and written")));
  }
  EXPECT_THAT(CheckCaptureDirectory(scratch / "./locked/.."),
              IsOkAndHolds(std::filesystem::canonical(scratch.path())));
}

TEST(CaptureDirectoryTest, RefusesPartsThatDoNotFitTogether) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "queries-000001.npy", "no array at all");
  EXPECT_THAT(CaptureDirectory::Open(scratch.path()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("queries-000001.npy")));
  WriteFile(scratch / "queries-000001.npy",
            WriteNpyHeader(DataType::kUint8, {}) + "x");
  EXPECT_THAT(
      CaptureDirectory::Open(scratch.path()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got a scalar")));
  WriteFile(scratch / "queries-000001.npy",
            WriteNpyHeader(DataType::kUint8, {1, 3}) + "xyz");
  WriteFile(scratch / "queries-000002.npy",
            WriteNpyHeader(DataType::kUint8, {1, 2}) + "xy");
  EXPECT_THAT(CaptureDirectory::Open(scratch.path()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("of one directory differ")));
}

TEST(CaptureDirectoryTest, SaysThatTheDiskIsFull) {
  const ScratchDirectory scratch;
  PARM_ASSERT_OK_AND_ASSIGN(const auto directory,
                            CaptureDirectory::Open(scratch.path()));
  {
    const FileSizeLimit full(1000);
    EXPECT_THAT(directory->WritePart(1, kPair, 1000, std::string(2000, 'x')),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(FilesIn(scratch.path()), UnorderedElementsAre());
  EXPECT_THAT(
      directory->WritePart(CaptureDirectory::kMaxParts + 1, kPair, 1, "xy"),
      StatusIs(absl::StatusCode::kResourceExhausted,
               HasSubstr("too many files")));
}

}  // namespace
}  // namespace parm
