#pragma once

// Layers for networks that are written as TorchScript source: registers their
// parameters and draws their first weights. For files that include torch.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "parity_trainer/architectures/architecture.h"
#include "torch/script.h"

namespace parm {

/// Registers NAME_weight [outputs, inputs] and NAME_bias [outputs].
void AddLinear(torch::jit::Module* network, const std::string& name,
               int64_t inputs, int64_t outputs);

struct Convolution {
  int64_t inputs = 0;
  int64_t outputs = 0;
  int64_t side = 3;  // of the kernel; padded so that stride 1 keeps the size
  int64_t row_stride = 1;
  int64_t column_stride = 1;
  /// Of the normalisation after it. 0: the two answer 0 until they learn.
  double first_gain = 1;
};

/// Strides of a network's convolutions, from the first: what the spec's grid
/// has shrunk already is spared where the spec keeps the resolution.
class Strides {
 public:
  explicit Strides(const NetworkSpec& spec);

  /// Sets both strides of the next convolution: 1, or 2 where not spared.
  void Set(int64_t stride, Convolution* convolution);

 private:
  int64_t spared_rows_ = 1;  // by how much the grid has shrunk them
  int64_t spared_columns_ = 1;
};

/// Registers a convolution without bias and the batch normalisation after it.
/// Returns the TorchScript expression that applies both to variable `input`.
/// Needs: AddNormalisation came before.
std::string AddConvolution(torch::jit::Module* network, const std::string& name,
                           const Convolution& convolution,
                           absl::string_view input);

/// Registers input_scale and input_shift, and channel_scale and channel_shift
/// where the spec has them, the switch between training and
/// evaluation, and the method `normalise`, which makes FP32 network input of a
/// wire tensor of any datatype.
void AddNormalisation(torch::jit::Module* network, const NetworkSpec& spec);

/// Cells that a sample is cut into; 1: it is not cut.
int64_t NumCells(const NetworkSpec& spec);

/// AddNormalisation, and the method `pictures`, which normalises and, where the
/// spec has a grid, cuts the heads' cells out: [heads * batch, channels, height
/// / rows, width / columns], head by head. No feature mixes members then.
/// Needs: with a grid, picture samples whose sides it divides.
void AddPictureInput(torch::jit::Module* network, const NetworkSpec& spec);

/// Registers `head` and the method `answer`, which makes logits as the spec
/// says of features [batch, features], or of [heads * batch, features] if
/// `pictures` cut cells out.
void AddHeads(torch::jit::Module* network, const NetworkSpec& spec,
              int64_t features);

/// Likewise the method `pooled_answer`, of feature maps [..., features, height,
/// width], by their mean over height and width.
void AddPooledHeads(torch::jit::Module* network, const NetworkSpec& spec,
                    int64_t features);

/// Channels of a layer after the spec's width: a multiple of 4, at least 4.
int64_t Widened(int64_t channels, const NetworkSpec& spec);

/// Errors: kInvalidArgument unless samples are [channels, height, width] with
/// sides of at least `min_side`.
absl::Status CheckPictureShape(absl::string_view architecture,
                               const NetworkSpec& spec, int64_t min_side);

}  // namespace parm
