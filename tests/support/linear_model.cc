#include "tests/support/linear_model.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/picture_grid.h"
#include "encoder/weighted_code.h"

namespace parm {
namespace {

// Small multiples of 1/16, the same on every machine (std's distributions are
// not).
float DrawWeight(uint64_t seed, uint64_t index) {
  uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15U + index;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  x ^= x >> 31;
  return static_cast<float>(static_cast<int>(x % 17) - 8) / 16;
}

std::vector<float> DrawWeights(const LinearModelSpec& spec) {
  // The last column is b.
  std::vector<float> weights(
      static_cast<size_t>(spec.num_outputs * (spec.num_inputs + 1)));
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = DrawWeight(spec.seed, i);
  }
  return weights;
}

void Multiply(const LinearModelSpec& spec, const std::vector<float>& weights,
              const float* sample, float* output) {
  const size_t num_inputs = static_cast<size_t>(spec.num_inputs);
  for (size_t j = 0; j < static_cast<size_t>(spec.num_outputs); ++j) {
    const float* const row = weights.data() + j * (num_inputs + 1);
    float sum = 0;
    for (size_t i = 0; i < num_inputs; ++i) sum += row[i] * sample[i];
    output[j] = spec.scale * sum + spec.bias * row[num_inputs];
  }
}

std::vector<float> ToFloats(const ModelTensor& tensor) {
  const absl::Span<const std::byte> bytes = tensor.bytes.bytes();
  if (tensor.datatype == DataType::kUint8) {
    std::vector<float> values;
    values.reserve(bytes.size());
    for (const std::byte byte : bytes) {
      values.push_back(static_cast<float>(std::to_integer<uint8_t>(byte)));
    }
    return values;
  }
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) {
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  }
  return values;
}

// One cell of a picture of `size` pixels, enlarged to the whole of it.
std::vector<float> EnlargedCell(const float* picture, size_t size, int cells,
                                int cell) {
  const PictureGrid grid(cells);
  const auto columns = static_cast<size_t>(grid.num_columns());
  const auto rows = static_cast<size_t>(grid.num_rows());
  const auto side = static_cast<size_t>(std::sqrt(size));
  const size_t top = static_cast<size_t>(cell) / columns * (side / rows);
  const size_t left = static_cast<size_t>(cell) % columns * (side / columns);
  std::vector<float> enlarged(size);
  for (size_t y = 0; y < side; ++y) {
    for (size_t x = 0; x < side; ++x) {
      enlarged[y * side + x] =
          picture[(top + y / rows) * side + left + x / columns];
    }
  }
  return enlarged;
}

class LinearModel : public Model {
 public:
  explicit LinearModel(const LinearModelSpec& spec)
      : spec_(spec), weights_(DrawWeights(spec)) {}

  absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> inputs) const override {
    const std::vector<float> samples = ToFloats(inputs[0]);
    const size_t num_inputs = static_cast<size_t>(spec_.num_inputs);
    const size_t num_outputs = static_cast<size_t>(spec_.num_outputs);
    if (samples.empty() || samples.size() % num_inputs != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("sample size differs: got ", samples.size(),
                       " elements, want a multiple of ", num_inputs));
    }
    const size_t batch_size = samples.size() / num_inputs;
    const auto num_cells = static_cast<size_t>(spec_.cells);
    std::vector<float> outputs(num_cells * batch_size * num_outputs);
    for (size_t i = 0; i < batch_size; ++i) {
      const float* const sample = samples.data() + i * num_inputs;
      float* const output = outputs.data() + i * num_outputs;
      if (sample[0] == LinearModelSpec::kErrorInput) {
        return absl::InternalError("model failed: asked to by its input");
      }
      if (num_cells == 1) {
        Multiply(spec_, weights_, sample, output);
      } else {
        for (size_t cell = 0; cell < num_cells; ++cell) {
          Multiply(spec_, weights_,
                   EnlargedCell(sample, num_inputs, spec_.cells,
                                static_cast<int>(cell))
                       .data(),
                   output + cell * batch_size * num_outputs);
        }
      }
      if (sample[0] == LinearModelSpec::kNanInput) {
        output[0] = std::numeric_limits<float>::quiet_NaN();
      }
    }
    ModelTensor answer = {
        .datatype = DataType::kFp32,
        .shape = {static_cast<int64_t>(batch_size), spec_.num_outputs}};
    std::byte* data = nullptr;
    if (num_cells > 1) answer.shape.insert(answer.shape.begin(), spec_.cells);
    answer.bytes = Buffer::Allocate(outputs.size() * sizeof(float), &data);
    std::memcpy(data, outputs.data(), outputs.size() * sizeof(float));
    return std::vector<ModelTensor>{std::move(answer)};
  }

 private:
  const LinearModelSpec spec_;
  const std::vector<float> weights_;
};

bundle::Tensor ManifestTensor(const std::string& name, DataType datatype,
                              std::vector<int64_t> sample_shape) {
  bundle::Tensor tensor;
  tensor.set_name(name);
  const absl::string_view type = DataTypeName(datatype);
  tensor.set_datatype(std::string(type));
  tensor.add_shape(-1);
  for (const int64_t dimension : sample_shape) tensor.add_shape(dimension);
  return tensor;
}

LinearModelSpec ModelOf(const LinearBundleOptions& options) {
  LinearModelSpec model = options.model;
  model.num_inputs = 1;
  for (const int64_t dimension : options.sample_shape) {
    model.num_inputs *= dimension;
  }
  return model;
}

bundle::Manifest ManifestOf(const LinearBundleOptions& options) {
  bundle::Manifest manifest;
  manifest.set_model(options.name);
  manifest.set_version(options.version);
  manifest.set_role("deployed");
  manifest.set_file("model.txt");
  *manifest.add_inputs() =
      ManifestTensor("x", options.input_datatype, options.sample_shape);
  *manifest.add_outputs() =
      ManifestTensor("logits", DataType::kFp32, {options.model.num_outputs});
  manifest.set_preprocessing("none");
  return manifest;
}

}  // namespace

std::string WriteLinearModel(const LinearModelSpec& spec) {
  return absl::StrCat("parm-linear 2\nseed ", spec.seed, "\ninputs ",
                      spec.num_inputs, "\noutputs ", spec.num_outputs,
                      "\nscale ", spec.scale, "\nbias ", spec.bias, "\ncells ",
                      spec.cells, "\n");
}

absl::StatusOr<LinearModelSpec> ReadLinearModel(absl::string_view text) {
  std::istringstream stream{std::string(text)};
  constexpr int64_t kMaxElements = 1 << 24;
  LinearModelSpec spec;
  const auto read = [&stream](const char* want, auto* value) {
    std::string key;
    return static_cast<bool>(stream >> key >> *value) && key == want;
  };
  int format = 0;
  if (!read("parm-linear", &format) || format != 2 ||
      !read("seed", &spec.seed) || !read("inputs", &spec.num_inputs) ||
      !read("outputs", &spec.num_outputs) || !read("scale", &spec.scale) ||
      !read("bias", &spec.bias) || !read("cells", &spec.cells) ||
      spec.num_inputs < 1 || spec.num_outputs < 1 || spec.cells < 1 ||
      spec.cells > kMaxMembers || spec.num_inputs > kMaxElements ||
      spec.num_outputs > kMaxElements / spec.num_inputs) {
    return absl::DataLossError("model file is no linear model, or cut short");
  }
  return spec;
}

std::vector<float> LinearOutput(const LinearModelSpec& spec,
                                const std::vector<float>& sample) {
  std::vector<float> output(static_cast<size_t>(spec.num_outputs));
  Multiply(spec, DrawWeights(spec), sample.data(), output.data());
  return output;
}

absl::StatusOr<std::unique_ptr<const Model>> LoadLinearModel(
    const ModelFile& file) {
  std::ifstream stream(file.path, std::ios::binary);
  if (!stream) {
    return absl::NotFoundError(
        absl::StrCat("model file cannot be opened: ", file.path));
  }
  const std::string text((std::istreambuf_iterator<char>(stream)), {});
  PARM_ASSIGN_OR_RETURN(const LinearModelSpec spec, ReadLinearModel(text));
  if (file.inputs.size() != 1 ||
      (file.inputs[0].datatype != DataType::kFp32 &&
       file.inputs[0].datatype != DataType::kUint8)) {
    return absl::InvalidArgumentError(
        "linear model takes one input, FP32 or UINT8");
  }
  return std::make_unique<const LinearModel>(spec);
}

absl::StatusOr<Bundle> WriteLinearBundle(const std::string& directory,
                                         const LinearBundleOptions& options) {
  return WriteBundle(directory, ManifestOf(options),
                     {{"model.txt", WriteLinearModel(ModelOf(options))}});
}

absl::StatusOr<Bundle> WriteLinearParityBundle(
    const std::string& directory, const LinearBundleOptions& deployed_options,
    const Bundle& deployed, const CodeSpec& code, int parity_index) {
  LinearModelSpec model = ModelOf(deployed_options);
  bundle::Manifest manifest = ManifestOf(deployed_options);
  const auto k = static_cast<float>(code.k);
  if (code.scheme == "sum") {
    // F(x1) + .. + F(xk) = scale * W (x1 + .. + xk) + k * bias * b.
    model.bias *= k;
    if (deployed_options.input_datatype == DataType::kUint8) model.scale *= k;
  } else if (code.scheme == "weighted" && Supports(code)) {
    // w1 F(x1) + .. = scale * W (w1 x1 + ..) + (w1 + ..) * bias * b.
    const Matrix weights = WeightedCoefficients(code.k, code.r);
    double sum = 0;
    for (int slot = 0; slot < code.k; ++slot) {
      sum += weights.at(parity_index, slot);
    }
    model.bias *= static_cast<float>(sum);
  } else if (code.scheme == "tile") {
    model.cells = code.k;
    bundle::Tensor* const output = manifest.mutable_outputs(0);
    output->clear_shape();
    output->add_shape(code.k);
    output->add_shape(-1);
    output->add_shape(model.num_outputs);
  } else if (code.scheme != "pack") {
    return absl::InvalidArgumentError(
        absl::StrCat("no linear parity model for ", ToString(code)));
  }
  manifest.set_role("parity");
  bundle::Lineage* const lineage = manifest.mutable_lineage();
  lineage->set_deployed_sha256(ToHex(deployed.id));
  lineage->set_parity_index(static_cast<uint32_t>(parity_index));
  lineage->mutable_code()->set_scheme(code.scheme);
  lineage->mutable_code()->set_k(static_cast<uint32_t>(code.k));
  lineage->mutable_code()->set_r(static_cast<uint32_t>(code.r));
  for (const ConfidenceStep& step : deployed_options.confidence) {
    bundle::CalibrationBin* const bin =
        manifest.mutable_measured()->add_calibration();
    bin->set_margin_at_least(step.margin_at_least);
    bin->set_probability_right(step.probability_right);
  }
  return WriteBundle(directory, std::move(manifest),
                     {{"model.txt", WriteLinearModel(model)}});
}

}  // namespace parm
