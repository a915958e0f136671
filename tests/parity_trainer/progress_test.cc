#include "parity_trainer/progress.h"

#include <cstdio>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Time kStart = Time(std::chrono::seconds(1000));

/// What a run of two epochs of two steps, one second each, writes. It is taken
/// up after the first step.
std::string Output(bool terminal) {
  const ScratchDirectory scratch;
  std::FILE* const file = std::fopen((scratch / "out").c_str(), "w");
  {
    ProgressReporter progress("parity", file, terminal);
    progress.Begin(kStart, /*first_step=*/1, /*steps=*/4, /*epochs=*/2);
    Time now = kStart;
    for (int step = 1; step < 4; ++step) {
      now += std::chrono::seconds(1);
      progress.Step(now, /*samples=*/50, /*loss=*/step);
      if (step % 2 == 1) {
        progress.EndEpoch(
            now, (step + 1) / 2,
            step == 3 ? std::optional<double>(0.9125) : std::nullopt);
      }
    }
  }
  std::fclose(file);
  return ReadFile(scratch / "out");
}

TEST(ProgressTest, PlainOutputIsOneLinePerEpoch) {
  EXPECT_EQ(Output(/*terminal=*/false),
            "parity: epoch 1/2  loss 1.0000  50 examples/s  0:02 left\n"
            "parity: epoch 2/2  loss 2.5000  held out 91.25 %  50 examples/s  "
            "0:00 left\n");
}

TEST(ProgressTest, TerminalRedrawsOneLineAndEndsIt) {
  const std::string output = Output(/*terminal=*/true);
  EXPECT_THAT(output, HasSubstr("\rparity [============            ]  50 %"));
  EXPECT_THAT(output, HasSubstr("[========================] 100 %"));
  EXPECT_EQ(output.find('\n'), output.size() - 1);
}

TEST(ProgressTest, BarHoldsRateAndTimeLeft) {
  const ProgressState state{.label = "deployed",
                            .epoch = 3,
                            .epochs = 12,
                            .step = 25,
                            .steps = 100,
                            .loss = 0.5,
                            .samples_per_second = 1234.4,
                            .seconds_left = 61.6};
  EXPECT_EQ(ProgressBar(state),
            "deployed [======                  ]  25 %  epoch 3/12  loss "
            "0.5000  1234 examples/s  1:02 left");
  EXPECT_THAT(ProgressLine(state), Not(HasSubstr("[")));
}

TEST(ProgressTest, NothingDoneYetHasNoRate) {
  EXPECT_EQ(ProgressLine({.label = "x", .epochs = 1}),
            "x: epoch 0/1  loss 0.0000  0 examples/s  0:00 left");
}

}  // namespace
}  // namespace parm
