#pragma once

// Small TorchScript files for tests. Only the .cc includes torch, so that the
// tests themselves can use our messages.

#include <string>

namespace parm {

/// y[j] = sum over i of x[i] * (i + j), for FP32 [batch, inputs].
void SaveLinearModule(const std::string& path, int inputs, int outputs);

/// Any body of forward(self, x), indented by two spaces:
/// "  return x.to(dtype=6)\n" (dtypes are numbers here: 4 int64, 6 fp32).
void SaveModule(const std::string& path, const std::string& body);

}  // namespace parm
