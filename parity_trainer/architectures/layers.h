#pragma once

// Layers for networks that are written as TorchScript source: registers their
// parameters and draws their first weights. For files that include torch.

#include <cstdint>
#include <string>

#include "parity_trainer/architectures/architecture.h"
#include "torch/script.h"

namespace parm {

/// Registers NAME_weight [outputs, inputs] and NAME_bias [outputs].
void AddLinear(torch::jit::Module* network, const std::string& name,
               int64_t inputs, int64_t outputs);

/// Registers NAME_weight [outputs, inputs, 3, 3] and NAME_bias [outputs].
void AddConv3x3(torch::jit::Module* network, const std::string& name,
                int64_t inputs, int64_t outputs);

/// Registers input_scale and input_shift and the method `normalise`, which
/// makes FP32 network input of a wire tensor of any datatype.
void AddNormalisation(torch::jit::Module* network, const NetworkSpec& spec);

}  // namespace parm
