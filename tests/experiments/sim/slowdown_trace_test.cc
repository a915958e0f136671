#include "experiments/sim/slowdown_trace.h"

#include <zlib.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm::sim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SlowdownTraceTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = scratch_ / "trace.csv";
    std::ofstream(path) << text;
    return path;
  }
  void ExpectRefused(const std::string& text, const std::string& line,
                     const std::string& why,
                     const SlowdownFilter& filter = {}) {
    EXPECT_THAT(
        ReadSlowdowns(Write(text), filter),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 AllOf(HasSubstr("trace.csv:" + line + ": "), HasSubstr(why))));
  }

 private:
  ScratchDirectory scratch_;
};

TEST_F(SlowdownTraceTest, KeepsRecordsThatPassTheFilter) {
  const std::string path = Write(
      "series,vm_sku,x,slowdown\n"
      "a,small,9,1.5\n"
      "b,small,9,2\r\n"
      "\n"
      "a,large,9,0.5\n");
  EXPECT_THAT(ReadSlowdowns(path, {}), IsOkAndHolds(ElementsAre(1.5, 2, 0.5)));
  EXPECT_THAT(ReadSlowdowns(path, {.series = "a"}),
              IsOkAndHolds(ElementsAre(1.5, 0.5)));
  EXPECT_THAT(ReadSlowdowns(path, {.series = "a", .vm_sku = "large"}),
              IsOkAndHolds(ElementsAre(0.5)));
}

TEST_F(SlowdownTraceTest, ReadsGzipFilesToo) {
  const std::string path = Write("");
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_GT(gzputs(file, "slowdown\n3\n"), 0);
  ASSERT_EQ(gzclose(file), Z_OK);
  EXPECT_THAT(ReadSlowdowns(path, {}), IsOkAndHolds(ElementsAre(3)));
}

TEST_F(SlowdownTraceTest, SaysThatAFileIsMissing) {
  EXPECT_THAT(
      ReadSlowdowns("/nowhere/trace.csv", {}),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/trace.csv")));
}

TEST_F(SlowdownTraceTest, NamesTheLineThatIsMalformed) {
  ExpectRefused("", "1", "empty file");
  ExpectRefused("a,b\n1,2\n", "1", "no column `slowdown`");
  ExpectRefused("slowdown\n1\n", "1", "no column `series`", {.series = "a"});
  ExpectRefused("slowdown\n1\n", "1", "no column `vm_sku`", {.vm_sku = "a"});
  ExpectRefused("slowdown\n1\nfast\n", "3", "got \"fast\"");
  ExpectRefused("slowdown\n0\n", "2", "want a number from 0.01 to 10000");
  ExpectRefused("slowdown\nnan\n", "2", "want a number from 0.01 to 10000");
  ExpectRefused("slowdown,x\n1\n", "2", "got 1 fields, want 2");
  ExpectRefused("series,slowdown\na,1\n", "2", "no record", {.series = "b"});
}

TEST_F(SlowdownTraceTest, NamesTheLineWhereGzipBreaks) {
  const std::string path = Write("");
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_GT(gzputs(file, "slowdown\n1\n"), 0);
  ASSERT_EQ(gzclose(file), Z_OK);
  std::ifstream in(path, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  Write(whole.substr(0, whole.size() - 4));
  EXPECT_THAT(
      ReadSlowdowns(path, {}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("damaged file")));
}

TEST_F(SlowdownTraceTest, RefusesMoreThanAMillionRecords) {
  std::string text = "slowdown\n";
  for (int i = 0; i <= 1'000'000; ++i) text += "1\n";
  ExpectRefused(text, "1000002", "more than 1000000 records");
}

}  // namespace
}  // namespace parm::sim
