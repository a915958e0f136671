#include "proto/machine_name.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(MachineNameTest, TellsProcessorsAndSystem) {
  EXPECT_THAT(MachineName(), StartsWith(absl::StrCat(
                                 std::thread::hardware_concurrency(), " x ")));
  EXPECT_THAT(MachineName(), HasSubstr(", Linux "));
}

}  // namespace
}  // namespace parm
