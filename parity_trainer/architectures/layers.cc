#include "parity_trainer/architectures/layers.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/tensor.h"
#include "torch/torch.h"

namespace parm {
namespace {

/// He's initialisation for layers that a ReLU follows.
at::Tensor DrawWeight(at::IntArrayRef shape) {
  const at::Tensor weight = torch::empty(shape);
  torch::nn::init::kaiming_uniform_(weight, 0.0, torch::kFanIn, torch::kReLU);
  return weight.requires_grad_();
}

void AddParameter(torch::jit::Module* network, const std::string& name,
                  const at::Tensor& value) {
  network->register_parameter(name, value, /*is_buffer=*/false);
}

}  // namespace

void AddLinear(torch::jit::Module* network, const std::string& name,
               int64_t inputs, int64_t outputs) {
  AddParameter(network, name + "_weight", DrawWeight({outputs, inputs}));
  AddParameter(network, name + "_bias",
               torch::zeros({outputs}).requires_grad_());
}

std::string AddConvolution(torch::jit::Module* network, const std::string& name,
                           const Convolution& convolution,
                           absl::string_view input) {
  const auto& [inputs, outputs, side, row_stride, column_stride, first_gain] =
      convolution;
  AddParameter(network, name + "_weight",
               DrawWeight({outputs, inputs, side, side}));
  AddParameter(network, name + "_gain",
               torch::full({outputs}, first_gain).requires_grad_());
  AddParameter(network, name + "_bias",
               torch::zeros({outputs}).requires_grad_());
  network->register_buffer(name + "_mean", torch::zeros({outputs}));
  network->register_buffer(name + "_variance", torch::ones({outputs}));
  const int64_t padding = side / 2;
  return absl::StrCat("torch.batch_norm(torch.conv2d(", input, ", self.", name,
                      "_weight, None, [", row_stride, ", ", column_stride,
                      "], [", padding, ", ", padding, "]), self.", name,
                      "_gain, self.", name, "_bias, self.", name,
                      "_mean, self.", name,
                      "_variance, self.training, 0.1, 1e-5, False)");
}

Strides::Strides(const NetworkSpec& spec) {
  if (!spec.keep_resolution || NumCells(spec) == 1) return;
  spared_rows_ = spec.grid_rows;
  spared_columns_ = spec.grid_columns;
}

void Strides::Set(int64_t stride, Convolution* convolution) {
  const auto set = [stride](int64_t* spared, int64_t* target) {
    *target = stride;
    if (stride == 1 || *spared < stride) return;
    *spared /= stride;
    *target = 1;
  };
  set(&spared_rows_, &convolution->row_stride);
  set(&spared_columns_, &convolution->column_stride);
}

void AddNormalisation(torch::jit::Module* network, const NetworkSpec& spec) {
  network->register_attribute("training", c10::BoolType::get(), true);
  network->register_attribute("input_scale", c10::FloatType::get(),
                              spec.input_scale);
  network->register_attribute("input_shift", c10::FloatType::get(),
                              spec.input_shift);
  std::string by_channel;
  if (!spec.channel_scale.empty()) {
    const auto as_planes = [](const std::vector<double>& values) {
      return torch::tensor(values, at::kFloat).view({-1, 1, 1});
    };
    network->register_buffer("channel_scale", as_planes(spec.channel_scale));
    network->register_buffer("channel_shift", as_planes(spec.channel_shift));
    by_channel = "    x = x * self.channel_scale + self.channel_shift\n";
  }
  network->define(absl::StrCat("def normalise(self, x):\n    x = torch.to(x, ",
                               static_cast<int>(at::kFloat),
                               ") * self.input_scale + self.input_shift\n",
                               by_channel, "    return x\n"));
}

int64_t NumCells(const NetworkSpec& spec) {
  return spec.num_heads == 0 ? 1 : spec.grid_rows * spec.grid_columns;
}

void AddPictureInput(torch::jit::Module* network, const NetworkSpec& spec) {
  AddNormalisation(network, spec);
  std::string cut;
  if (NumCells(spec) > 1) {
    const int64_t channels = spec.sample_shape[0];
    const int64_t height = spec.sample_shape[1] / spec.grid_rows;
    const int64_t width = spec.sample_shape[2] / spec.grid_columns;
    cut = absl::StrCat(
        "    x = torch.reshape(x, [-1, ", channels, ", ", spec.grid_rows, ", ",
        height, ", ", spec.grid_columns, ", ", width,
        "])\n"
        "    x = torch.flatten(torch.permute(x, [2, 4, 0, 1, 3, 5]), 0, 1)\n"
        "    x = torch.flatten(torch.narrow(x, 0, 0, ",
        spec.num_heads, "), 0, 1)\n");
  }
  network->define("def pictures(self, x):\n    x = self.normalise(x)\n" + cut +
                  "    return x\n");
}

void AddHeads(torch::jit::Module* network, const NetworkSpec& spec,
              int64_t features) {
  if (spec.num_heads == 0) {
    AddLinear(network, "head", features, spec.num_outputs);
    network->define(R"(
def answer(self, x):
    return torch.linear(x, self.head_weight, self.head_bias)
)");
    return;
  }
  const int64_t heads = spec.num_heads;
  AddParameter(network, "head_weight",
               DrawWeight({spec.num_outputs, features})
                   .detach()
                   .repeat({heads, 1, 1})
                   .requires_grad_());
  AddParameter(network, "head_bias",
               torch::zeros({heads, spec.num_outputs}).requires_grad_());
  std::string by_head;
  if (NumCells(spec) > 1) {
    by_head = absl::StrCat("    x = torch.reshape(x, [", heads, ", -1, ",
                           features, "])\n");
  }
  network->define(
      absl::StrCat("def answer(self, x):\n", by_head,
                   "    weight = torch.transpose(self.head_weight, 1, 2)\n"
                   "    bias = torch.unsqueeze(self.head_bias, 1)\n"
                   "    return torch.matmul(x, weight) + bias\n"));
}

void AddPooledHeads(torch::jit::Module* network, const NetworkSpec& spec,
                    int64_t features) {
  AddHeads(network, spec, features);
  network->define(R"(
def pooled_answer(self, x):
    return self.answer(torch.mean(x, [2, 3]))
)");
}

int64_t Widened(int64_t channels, const NetworkSpec& spec) {
  const auto fours = static_cast<int64_t>(
      std::llround(spec.width * static_cast<double>(channels) / 4));
  return 4 * std::max<int64_t>(fours, 1);
}

absl::Status CheckPictureShape(absl::string_view architecture,
                               const NetworkSpec& spec, int64_t min_side) {
  const std::vector<int64_t>& shape = spec.sample_shape;
  if (shape.size() == 3 && shape[0] >= 1 && shape[1] >= min_side &&
      shape[2] >= min_side) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "sample shape does not suit the ", architecture, ": got ",
      ShapeToString(shape),
      ", want [channels,height,width] with sides of at least ", min_side));
}

}  // namespace parm
