// parm-resnet20-weights WEIGHTS OUT.pt: makes a TorchScript file, which
// `parm-train deployed --model` takes, of a published ResNet-20 for CIFAR-10.
// WEIGHTS is its state as flat little-endian FP32, with the names and places of
// the tensors in WEIGHTS less ".f32.bin" plus ".manifest.csv" (lines
// name,dtype,AxBxC,offset in floats). The parameters get the names of our own
// `resnet20`, so that a parity model can start from them.

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "parity_trainer/architectures/architecture.h"
#include "torch/script.h"

namespace parm {
namespace {

constexpr int kStages = 3;
constexpr int kBlocks = 3;
constexpr double kBatchNormEpsilon = 1e-5;

using State = std::map<std::string, at::Tensor>;

absl::StatusOr<std::string> Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return bytes.str();
}

/// One line of the manifest, its values out of `bytes`.
absl::StatusOr<at::Tensor> TensorOf(const std::vector<std::string>& fields,
                                    std::string* bytes) {
  std::vector<int64_t> shape;
  int64_t count = 1;
  int64_t offset = 0;
  bool good = fields.size() == 4 && fields[1] == "f32" &&
              absl::SimpleAtoi(fields[3], &offset);
  if (good) {
    for (const std::string& part :
         std::vector<std::string>(absl::StrSplit(fields[2], 'x'))) {
      int64_t size = 0;
      good = good && absl::SimpleAtoi(part, &size) && size > 0 && size < 100000;
      shape.push_back(size);
      count *= good ? size : 1;
    }
  }
  const auto floats = static_cast<int64_t>(bytes->size() / sizeof(float));
  if (!good || offset < 0 || offset > floats || count > floats - offset) {
    return absl::InvalidArgumentError(
        "manifest has a line that does not fit the weights, want "
        "name,f32,AxBxC,offset");
  }
  return torch::from_blob(bytes->data() + offset * int64_t{sizeof(float)},
                          shape, at::kFloat)
      .clone();
}

absl::StatusOr<State> ReadState(const std::string& path) {
  absl::string_view stem = path;
  if (!absl::ConsumeSuffix(&stem, ".f32.bin")) {
    return absl::InvalidArgumentError(
        absl::StrCat("got ", path, ", want a file NAME.f32.bin"));
  }
  PARM_ASSIGN_OR_RETURN(std::string bytes, Read(path));
  PARM_ASSIGN_OR_RETURN(const std::string manifest,
                        Read(absl::StrCat(stem, ".manifest.csv")));
  State state;
  std::istringstream lines(manifest);
  std::string line;
  std::getline(lines, line);  // the header
  while (std::getline(lines, line)) {
    const std::vector<std::string> fields = absl::StrSplit(line, ',');
    PARM_ASSIGN_OR_RETURN(state[fields[0]], TensorOf(fields, &bytes));
  }
  return state;
}

/// Theirs -> ours: a convolution and the batch normalisation after it.
void AddNames(const std::string& convolution, const std::string& normalisation,
              const std::string& ours,
              std::map<std::string, std::string>* names) {
  (*names)[convolution + ".weight"] = ours + "_weight";
  (*names)[normalisation + ".weight"] = ours + "_gain";
  (*names)[normalisation + ".bias"] = ours + "_bias";
  (*names)[normalisation + ".running_mean"] = ours + "_mean";
  (*names)[normalisation + ".running_var"] = ours + "_variance";
}

std::map<std::string, std::string> Names() {
  std::map<std::string, std::string> names = {{"linear.weight", "head_weight"},
                                              {"linear.bias", "head_bias"}};
  AddNames("conv1", "bn1", "first", &names);
  for (int stage = 0; stage < kStages; ++stage) {
    for (int block = 0; block < kBlocks; ++block) {
      const std::string theirs = absl::StrCat("layer", stage + 1, ".", block);
      const std::string ours = absl::StrCat("stage", stage, "_", block);
      AddNames(theirs + ".conv1", theirs + ".bn1", ours + "_a", &names);
      AddNames(theirs + ".conv2", theirs + ".bn2", ours + "_b", &names);
    }
  }
  return names;
}

/// Its shortcuts that change the shape take every second pixel and add channels
/// of zeros on both sides: a 1x1 convolution of stride 2 with ones, and a
/// normalisation that changes nothing.
void SetShortcut(int stage, torch::jit::Module* network) {
  const std::string name = absl::StrCat("stage", stage, "_0_shortcut");
  const at::Tensor weight = network->attr(name + "_weight").toTensor();
  weight.zero_();
  const int64_t inputs = weight.size(1);
  for (int64_t i = 0; i < inputs; ++i) {
    weight[(weight.size(0) - inputs) / 2 + i][i][0][0] = 1;
  }
  network->attr(name + "_gain")
      .toTensor()
      .fill_(std::sqrt(1 + kBatchNormEpsilon));
}

absl::Status Convert(const std::string& weights, const std::string& out) {
  PARM_ASSIGN_OR_RETURN(const State state, ReadState(weights));
  // The deviations and means of ImageNet, with which it was trained.
  PARM_ASSIGN_OR_RETURN(
      torch::jit::Module network,
      BuildArchitecture(
          "resnet20",
          {.sample_shape = {3, 32, 32},
           .num_outputs = 10,
           .input_scale = 1 / 255.0,
           .channel_scale = {1 / 0.229, 1 / 0.224, 1 / 0.225},
           .channel_shift = {-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225}}));
  const torch::NoGradGuard no_gradients;
  for (const auto& [theirs, ours] : Names()) {
    const auto found = state.find(theirs);
    const at::Tensor target = network.attr(ours).toTensor();
    if (found == state.end() || found->second.sizes() != target.sizes()) {
      return absl::InvalidArgumentError(
          absl::StrCat("weights are not those of a ResNet-20: got no ", theirs,
                       " of the right shape"));
    }
    target.copy_(found->second);
  }
  for (int stage = 1; stage < kStages; ++stage) SetShortcut(stage, &network);
  network.eval();
  network.save(out);
  return absl::OkStatus();
}

}  // namespace
}  // namespace parm

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: parm-resnet20-weights NAME.f32.bin OUT.pt\n";
    return 2;
  }
  try {
    const absl::Status status = parm::Convert(argv[1], argv[2]);
    if (status.ok()) return 0;
    std::cerr << "parm-resnet20-weights: " << status.message() << '\n';
  } catch (const std::exception& error) {
    std::cerr << "parm-resnet20-weights: " << error.what() << '\n';
  }
  return 1;
}
