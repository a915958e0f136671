#pragma once

// Whether torch inlines and simplifies graphs that it first runs from now on:
// one switch for the whole process, which must not stay as a training left it.
// For files that include torch.

#include "torch/csrc/jit/python/update_graph_executor_opt.h"

namespace parm {

/// Sets the switch while it lives. Threads: one at a time.
class GraphOptimisation {
 public:
  explicit GraphOptimisation(bool enabled)
      : before_(torch::jit::getGraphExecutorOptimize()) {
    torch::jit::setGraphExecutorOptimize(enabled);
  }
  GraphOptimisation(const GraphOptimisation&) = delete;
  GraphOptimisation& operator=(const GraphOptimisation&) = delete;
  ~GraphOptimisation() { torch::jit::setGraphExecutorOptimize(before_); }

 private:
  const bool before_;
};

}  // namespace parm
