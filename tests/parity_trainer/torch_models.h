#pragma once

// TorchScript files for tests, made without showing torch.

#include <cstdint>
#include <string>
#include <vector>

namespace parm {

/// y = W x for a flattened x of any datatype; `weight` is [outputs, inputs].
/// Linear, hence its own ideal parity model for the sum code.
std::string LinearModelBytes(int64_t outputs, const std::vector<float>& weight);

/// A model whose forward(self, x) has this TorchScript body.
std::string ModelBytes(const std::string& body);

}  // namespace parm
