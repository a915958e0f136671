#include "proto/curve_keys.h"

#include <sys/stat.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

TEST(CurveKeysTest, ReadsBackWhatItMade) {
  const ScratchDirectory scratch;
  ASSERT_THAT(MakeCurveKeys(scratch / "a"), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const CurveKeys keys, LoadCurveKeys(scratch / "a"));
  EXPECT_THAT(LoadCurveKey(scratch / "a.pub"), IsOkAndHolds(keys.public_key));
  EXPECT_NE(keys.public_key, keys.secret_key);
  struct stat about = {};
  ASSERT_EQ(stat((scratch / "a").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0077, 0u);
}

TEST(CurveKeysTest, OverwritesNoKey) {
  const ScratchDirectory scratch;
  ASSERT_THAT(MakeCurveKeys(scratch / "a"), IsOk());
  const std::string before = ReadFile(scratch / "a");
  EXPECT_THAT(MakeCurveKeys(scratch / "a"),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadFile(scratch / "a"), before);
  EXPECT_THAT(MakeCurveKeys(scratch / "none/a"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("none/a")));
}

TEST(CurveKeysTest, RefusesFilesWithoutOneKey) {
  const ScratchDirectory scratch;
  const std::string key(40, '0');
  for (const std::string& text :
       {std::string(), std::string("# nothing\n"), key + "0\n",
        key.substr(1) + "\n", key + "\n" + key + "\n",
        key.substr(1) + "\"\n"}) {
    WriteFile(scratch / "bad", text);
    EXPECT_THAT(LoadCurveKey(scratch / "bad"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(scratch / "bad")))
        << text;
  }
  EXPECT_THAT(LoadCurveKeys(scratch / "missing"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cannot be read")));
  WriteFile(scratch / "good", "# a comment\n\n  " + key + "\r\n");
  EXPECT_THAT(LoadCurveKey(scratch / "good"), IsOkAndHolds(key));
}

}  // namespace
}  // namespace parm
