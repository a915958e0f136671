#include "frontend/capture_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/npy_header.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

const SampleLayout kPair{.datatype = DataType::kUint8, .shape = {2}};

CapturedQuery Query(const std::string& bytes) {
  return {.layout = kPair,
          .rows = static_cast<int64_t>(bytes.size()) / 2,
          .data = Buffer::FromString(bytes)};
}

std::unique_ptr<CaptureWriter> WriterInto(const std::string& path,
                                          CaptureWriterOptions options = {}) {
  auto directory = CaptureDirectory::Open(path);
  EXPECT_THAT(directory, IsOk());
  std::vector<CaptureTarget> targets;
  targets.push_back({.name = "m", .directory = *std::move(directory)});
  return std::make_unique<CaptureWriter>(std::move(targets), options);
}

// The values of parts 1, 2, ... until one is missing.
std::vector<std::string> PartsOf(const ScratchDirectory& scratch) {
  std::vector<std::string> parts;
  for (int i = 1;; ++i) {
    const std::string path = scratch / absl::StrCat("queries-00000", i, ".npy");
    if (!std::filesystem::exists(path)) return parts;
    const std::string file = ReadFile(path);
    const auto header = ParseNpyHeader(file, path);
    EXPECT_THAT(header, IsOk());
    parts.push_back(file.substr(header->size));
    EXPECT_EQ(static_cast<size_t>(header->shape[0]) * 2, parts.back().size());
  }
}

void WaitForRows(const CaptureWriter& writer, uint64_t rows) {
  const auto give_up =
      std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (writer.written()[0].rows < rows &&
         std::chrono::steady_clock::now() < give_up) {
    std::this_thread::yield();
  }
  EXPECT_EQ(writer.written()[0].rows, rows);
}

TEST(CaptureWriterTest, FinishesTheLastPartWhenItEnds) {
  const ScratchDirectory scratch;
  auto writer = WriterInto(scratch.path());
  EXPECT_EQ(writer->Push(Query("ab")), CapturePush::kTaken);
  EXPECT_EQ(writer->Push(Query("cdef")), CapturePush::kTaken);
  writer.reset();
  EXPECT_THAT(PartsOf(scratch), ElementsAre("abcdef"));
}

TEST(CaptureWriterTest, ReplacesAPartUntilItIsFull) {
  const ScratchDirectory scratch;
  auto writer = WriterInto(scratch.path(),
                           {.rows_per_part = 3, .write_after = Duration{0}});
  writer->Push(Query("ab"));
  WaitForRows(*writer, 1);
  EXPECT_THAT(PartsOf(scratch), ElementsAre("ab"));
  writer->Push(Query("cdef"));
  WaitForRows(*writer, 3);
  EXPECT_THAT(PartsOf(scratch), ElementsAre("abcdef"));
  writer->Push(Query("gh"));
  WaitForRows(*writer, 4);
  EXPECT_THAT(PartsOf(scratch), ElementsAre("abcdef", "gh"));
  EXPECT_EQ(writer->written()[0].bytes, 8U);
}

TEST(CaptureWriterTest, PartsAreBoundedInRowsAndBytes) {
  const ScratchDirectory by_rows;
  auto writer = WriterInto(by_rows.path(), {.rows_per_part = 2});
  for (const char* query : {"ab", "cd", "ef"}) writer->Push(Query(query));
  writer.reset();
  EXPECT_THAT(PartsOf(by_rows), ElementsAre("abcd", "ef"));

  const ScratchDirectory by_bytes;
  writer = WriterInto(by_bytes.path(), {.bytes_per_part = 5});
  for (const char* query : {"ab", "cd", "ef"}) writer->Push(Query(query));
  writer.reset();
  EXPECT_THAT(PartsOf(by_bytes), ElementsAre("abcd", "ef"));
}

TEST(CaptureWriterTest, GoesOnBehindThePartsThatAreThere) {
  const ScratchDirectory scratch;
  auto writer = WriterInto(scratch.path());
  writer->Push(Query("ab"));
  writer.reset();
  writer = WriterInto(scratch.path());
  EXPECT_EQ(writer->written()[0].rows, 1U);
  EXPECT_EQ(writer->written()[0].bytes, 2U);
  writer->Push(Query("cd"));
  writer.reset();
  EXPECT_THAT(PartsOf(scratch), ElementsAre("ab", "cd"));
}

// A part file's temporary name that is a named pipe: the thread waits in
// open() until somebody reads it, as it would for a slow disk.
void ExpectAtMostTwoWait(CaptureWriterOptions options) {
  const ScratchDirectory scratch;
  options.write_after = Duration{0};
  auto writer = WriterInto(scratch.path(), options);
  const std::string pipe =
      scratch / absl::StrCat("queries-000001.npy.", getpid(), ".partial");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  // Two wait at most, before and after the thread takes all that waits, once.
  int taken = 0;
  for (int i = 0; i < 10; ++i) {
    taken += writer->Push(Query("ab")) == CapturePush::kTaken ? 1 : 0;
  }
  EXPECT_GE(taken, 2);
  EXPECT_LE(taken, 4);
  std::ifstream reader(pipe, std::ios::binary);  // lets the thread go on
  writer.reset();
}

TEST(CaptureWriterTest, DropsWhatASlowDiskDoesNotTake) {
  for (const CaptureWriterOptions& options :
       {CaptureWriterOptions{.max_waiting_queries = 2},
        CaptureWriterOptions{.max_waiting_bytes = 5}}) {
    ExpectAtMostTwoWait(options);
  }
}

TEST(CaptureWriterTest, TakesALargeQueryAlone) {
  const ScratchDirectory scratch;
  auto writer = WriterInto(
      scratch.path(), {.max_waiting_bytes = 6, .write_after = Duration{0}});
  // Alone it may be larger.
  EXPECT_EQ(writer->Push(Query("abcdefgh")), CapturePush::kTaken);
  writer.reset();
  EXPECT_THAT(PartsOf(scratch), ElementsAre("abcdefgh"));
}

TEST(CaptureWriterTest, AFullDiskEndsTheCapture) {
  const ScratchDirectory scratch;
  auto writer = WriterInto(scratch.path(), {.write_after = Duration{0}});
  const FileSizeLimit full(100);
  writer->Push(Query("ab"));
  const auto give_up =
      std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (writer->written()[0].failures == 0 &&
         std::chrono::steady_clock::now() < give_up) {
    std::this_thread::yield();
  }
  EXPECT_EQ(writer->written()[0].failures, 1U);
  EXPECT_EQ(writer->written()[0].rows, 0U);
  EXPECT_EQ(writer->written()[0].rows_lost, 1U);
  EXPECT_EQ(writer->Push(Query("cd")), CapturePush::kFailed);
  writer.reset();
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace parm
