#pragma once

// What every command of parm-train takes; filled by main from the command line.

#include <cstdint>
#include <string>

#include "parity_trainer/training_peers.h"

namespace parm {

struct DataOptions {
  std::string source;  // idx:DIR or npy:DIR
  int64_t limit_train = 0;
  int64_t limit_test = 0;
  int64_t num_classes = 0;  // 0: as the labels show
};

struct TrainingOptions {
  uint64_t seed = 1;
  std::string recipe;  // a file, see recipe_file.h; empty: none
  // 0 or empty: as the recipe says.
  int64_t epochs = 0;
  int64_t minibatch = 0;
  double learning_rate = 0;
  std::string loss;
  std::string init;
  bool resume = false;
  bool force = false;      // overwrite a bundle or checkpoint that is there
  std::string checkpoint;  // empty: beside the bundle
  std::string log;         // empty: in the bundle alone
  TrainingPeers* peers = nullptr;  // that train with us; nullptr: none
};

}  // namespace parm
