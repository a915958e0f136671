#include "backends/torch/torch_model.h"

#include <dlfcn.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr std::pair<DataType, at::ScalarType> kTypes[] = {
    {DataType::kBool, at::kBool},  {DataType::kUint8, at::kByte},
    {DataType::kInt8, at::kChar},  {DataType::kInt16, at::kShort},
    {DataType::kInt32, at::kInt},  {DataType::kInt64, at::kLong},
    {DataType::kFp16, at::kHalf},  {DataType::kBf16, at::kBFloat16},
    {DataType::kFp32, at::kFloat}, {DataType::kFp64, at::kDouble},
};

std::optional<at::ScalarType> ToTorch(DataType datatype) {
  for (const auto& [ours, torchs] : kTypes) {
    if (ours == datatype) return torchs;
  }
  return std::nullopt;
}

DataType FromTorch(at::ScalarType type) {
  for (const auto& [ours, torchs] : kTypes) {
    if (torchs == type) return ours;
  }
  return DataType::kInvalid;
}

// The first line of torch's message; a stack trace follows it.
std::string FirstLine(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  // Interpreter errors begin with a fixed header and end with the reason.
  const size_t last = text.find_last_not_of('\n');
  if (last == std::string::npos) return "torch gave no reason";
  if (text.starts_with("The following operation failed")) {
    const size_t begin = text.rfind('\n', last);
    return text.substr(begin + 1, last - begin);
  }
  return text.substr(0, text.find('\n'));
}

// Reads the tensor where it lies, unless an element would be misaligned: a
// frame of libzmq may begin anywhere in its receive buffer. The bytes live as
// long as any tensor on them: a model may answer with (a view of) its input.
at::Tensor ViewOf(const ModelTensor& tensor, at::ScalarType type) {
  const auto address = reinterpret_cast<uintptr_t>(tensor.bytes.bytes().data());
  if (address % DataTypeSize(tensor.datatype) != 0) {
    at::Tensor copy = torch::empty(tensor.shape, type);
    std::memcpy(copy.data_ptr(), tensor.bytes.bytes().data(),
                tensor.bytes.size());
    return copy;
  }
  // from_blob has no const form. A model that writes to its input spoils the
  // bytes of its own task only.
  return torch::from_blob(
      const_cast<std::byte*>(tensor.bytes.bytes().data()), tensor.shape,
      [input = tensor.bytes](void* /*data*/) {}, type);
}

ModelTensor ToModelTensor(const at::Tensor& output) {
  auto* const owner = new at::Tensor(output.to(at::kCPU).contiguous());
  return {.datatype = FromTorch(owner->scalar_type()),
          .shape = owner->sizes().vec(),
          .bytes = Buffer::Wrap(
              {static_cast<const std::byte*>(owner->const_data_ptr()),
               owner->nbytes()},
              owner,
              [](void* tensor) { delete static_cast<at::Tensor*>(tensor); })};
}

absl::StatusOr<std::vector<ModelTensor>> ToModelTensors(
    const c10::IValue& value) {
  std::vector<ModelTensor> outputs;
  if (value.isTensor()) {
    outputs.push_back(ToModelTensor(value.toTensor()));
  } else if (value.isTensorList()) {
    for (const at::Tensor& output : value.toTensorVector()) {
      outputs.push_back(ToModelTensor(output));
    }
  } else if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      if (!element.isTensor()) {
        return absl::InternalError(
            "model answers a tuple of more than tensors");
      }
      outputs.push_back(ToModelTensor(element.toTensor()));
    }
  } else {
    return absl::InternalError(
        absl::StrCat("model answers no tensor: got ", value.tagKind()));
  }
  return outputs;
}

// libtorch_cuda.so registers itself when it is loaded; a program that links
// the CPU libraries alone gains CUDA so, and runs without it elsewhere.
absl::Status LoadCuda() {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device cuda needs LibTorch's CUDA libraries, which do not load: ",
        dlerror()));
  }
  if (!torch::cuda::is_available()) {
    return absl::FailedPreconditionError(
        "device cuda: LibTorch finds no CUDA device on this machine");
  }
  return absl::OkStatus();
}

// How many threads an operation may use is each thread's own setting, and all
// cores until it is set: MKL and oneDNN would wake a thread per core for every
// query, which spin for milliseconds when they are done.
void KeepToIntraOpThreads() {
  thread_local const bool is_set = [] {
    at::init_num_threads();  // to what at::set_num_threads said last
    return true;
  }();
  static_cast<void>(is_set);
}

class TorchModel : public Model {
 public:
  TorchModel(torch::jit::Module module, at::Device device)
      : module_(std::move(module)), device_(device) {}

  absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> inputs) const override {
    try {
      KeepToIntraOpThreads();
      const c10::InferenceMode no_gradients;
      std::vector<c10::IValue> arguments;
      arguments.reserve(inputs.size());
      for (const ModelTensor& input : inputs) {
        const auto type = ToTorch(input.datatype);
        PARM_CHECK(type.has_value());  // the loader looked at every input
        arguments.emplace_back(ViewOf(input, *type).to(device_));
      }
      return ToModelTensors(module_.forward(std::move(arguments)));
    } catch (const c10::Error& error) {
      return absl::InternalError(
          absl::StrCat("model failed: ", FirstLine(error)));
    } catch (const std::exception& error) {
      return absl::InternalError(absl::StrCat("model failed: ", error.what()));
    }
  }

 private:
  // forward is not const in torch, but runs from several threads at once.
  mutable torch::jit::Module module_;
  const at::Device device_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Model>> LoadTorchModel(
    const ModelFile& file) {
  for (const TensorSpec& spec : file.inputs) {
    if (!ToTorch(spec.datatype).has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("input has a datatype that torch does not take: '",
                       spec.name, "' ", DataTypeName(spec.datatype)));
    }
  }
  std::error_code cannot_look;
  if (!std::filesystem::is_regular_file(file.path, cannot_look)) {
    return absl::NotFoundError(
        absl::StrCat("model file cannot be opened: ", file.path));
  }
  if (file.device == Device::kCuda) PARM_RETURN_IF_ERROR(LoadCuda());
  const at::Device device(file.device == Device::kCuda ? at::kCUDA : at::kCPU);
  try {
    at::set_num_threads(file.intra_op_threads);
    // The profiling executor rewrites the graph during its second run and
    // again for each new shape, which costs tens of milliseconds in the middle
    // of serving.
    torch::jit::getProfilingMode() = false;
    torch::jit::Module module = torch::jit::load(file.path, device);
    module.eval();
    return std::make_unique<const TorchModel>(std::move(module), device);
  } catch (const c10::Error& error) {
    return absl::DataLossError(
        absl::StrCat("model file is no TorchScript, or cut short: ", file.path,
                     ": ", FirstLine(error)));
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat(
        "model file cannot be read: ", file.path, ": ", error.what()));
  }
}

}  // namespace parm
