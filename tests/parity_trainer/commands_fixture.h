#pragma once

// What tests of the commands start from: a small data set in a folder of their
// own, and options that make a deployed bundle and a parity for it.

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "parity_trainer/deployed_command.h"
#include "parity_trainer/evaluate_command.h"
#include "parity_trainer/model_runner.h"
#include "parity_trainer/parity_command.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/parity_trainer/torch_models.h"
#include "tests/support/scratch_directory.h"

namespace parm {

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() {
    SetNumThreads(1);
    std::filesystem::create_directory(scratch_ / "data");
    WriteIdxData(scratch_ / "data", 200, 41);
    data_.source = "idx:" + scratch_ / "data";
    deployed_ = {.data = data_,
                 .training = {.epochs = 3, .minibatch = 20},
                 .out = scratch_ / "deployed"};
    parity_ = {.data = data_,
               .training = {.epochs = 3, .minibatch = 20},
               .deployed = scratch_ / "deployed",
               .out = scratch_ / "parity"};
    evaluate_ = {.data = data_,
                 .deployed = scratch_ / "deployed",
                 .parity = scratch_ / "parity",
                 .json_file = scratch_ / "report.json",
                 .logits_file = scratch_ / "logits.npy"};
  }

  /// A model that knows the pictures' classes, in `model.pt`.
  std::string WriteKnowingModel() {
    std::vector<float> weights(kClasses * kSide * kSide);
    for (size_t i = 0; i < weights.size(); ++i) {
      const size_t label = i / (kSide * kSide);
      const size_t row = i % (kSide * kSide) / kSide;
      weights[i] = row / 2 == label ? 1 : 0;
    }
    const std::string path = scratch_ / "model.pt";
    WriteFile(path, LinearModelBytes(kClasses, weights));
    return path;
  }

  bool OnlyHolds(const std::vector<std::string>& names) const {
    size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(scratch_.path())) {
      ++count;
      const std::string name = entry.path().filename().string();
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        ADD_FAILURE() << "unexpected " << name;
      }
    }
    return count == names.size();
  }

  const ScratchDirectory scratch_;
  DataOptions data_;
  DeployedOptions deployed_;
  ParityOptions parity_;
  EvaluateOptions evaluate_;
};

}  // namespace parm
