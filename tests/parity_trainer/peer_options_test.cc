#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/training_peers.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

constexpr const char* kVariables[] = {"RANK", "WORLD_SIZE", "MASTER_ADDR",
                                      "MASTER_PORT",
                                      "TORCHELASTIC_USE_AGENT_STORE"};

class PeerOptionsTest : public testing::Test {
 protected:
  PeerOptionsTest() {
    for (const char* const name : kVariables) unsetenv(name);
  }
  ~PeerOptionsTest() override {
    for (const char* const name : kVariables) unsetenv(name);
  }

  static void SetAll() {
    setenv("RANK", "1", 1);
    setenv("WORLD_SIZE", "2", 1);
    setenv("MASTER_ADDR", "10.0.0.1", 1);
    setenv("MASTER_PORT", "29500", 1);
  }
};

TEST_F(PeerOptionsTest, NoVariablesMeanOneProcess) {
  PARM_ASSERT_OK_AND_ASSIGN(PeerOptions options, PeerOptionsFromEnvironment());
  EXPECT_EQ(options.num_peers, 1);
  // Nor does a world of one want an address.
  setenv("WORLD_SIZE", "1", 1);
  PARM_ASSERT_OK_AND_ASSIGN(options, PeerOptionsFromEnvironment());
  EXPECT_EQ(options.num_peers, 1);
}

TEST_F(PeerOptionsTest, LaunchersVariablesAreReadAsStated) {
  SetAll();
  PARM_ASSERT_OK_AND_ASSIGN(PeerOptions options, PeerOptionsFromEnvironment());
  EXPECT_EQ(options.rank, 1);
  EXPECT_EQ(options.num_peers, 2);
  EXPECT_EQ(options.address, "10.0.0.1");
  EXPECT_EQ(options.port, 29500);
  EXPECT_FALSE(options.launcher_listens);
  setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);
  PARM_ASSERT_OK_AND_ASSIGN(options, PeerOptionsFromEnvironment());
  EXPECT_TRUE(options.launcher_listens);
}

TEST_F(PeerOptionsTest, WrongVariablesAreNamedWithTheirValue) {
  const struct {
    const char* name;
    const char* value;
    const char* message;
  } kCases[] = {
      {"WORLD_SIZE", "two", "got WORLD_SIZE=\"two\", want 1 to 1024"},
      {"WORLD_SIZE", "0", "got WORLD_SIZE=\"0\""},
      {"WORLD_SIZE", "2000", "got WORLD_SIZE=\"2000\""},
      {"RANK", "", "got RANK=\"\", want 0 to 1"},
      {"RANK", "2", "got RANK=\"2\", want 0 to 1"},
      {"RANK", "-1", "got RANK=\"-1\""},
      {"MASTER_PORT", "", "got MASTER_PORT=\"\""},
      {"MASTER_PORT", "65536", "want 1 to 65535"},
      {"MASTER_ADDR", "", "wants MASTER_ADDR"},
  };
  for (const auto& test : kCases) {
    SCOPED_TRACE(test.message);
    SetAll();
    setenv(test.name, test.value, 1);
    EXPECT_THAT(
        PeerOptionsFromEnvironment(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(test.message)));
  }
}

}  // namespace
}  // namespace parm
