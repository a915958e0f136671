#include "parity_trainer/torch_tensor.h"

#include "absl/strings/str_cat.h"

namespace parm {
namespace {

absl::StatusOr<at::ScalarType> ToScalarType(DataType datatype) {
  switch (datatype) {
    case DataType::kUint8:
      return at::kByte;
    case DataType::kInt8:
      return at::kChar;
    case DataType::kInt16:
      return at::kShort;
    case DataType::kInt32:
      return at::kInt;
    case DataType::kInt64:
      return at::kLong;
    case DataType::kFp16:
      return at::kHalf;
    case DataType::kBf16:
      return at::kBFloat16;
    case DataType::kFp32:
      return at::kFloat;
    case DataType::kFp64:
      return at::kDouble;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("datatype unknown to models: ", DataTypeName(datatype)));
  }
}

}  // namespace

absl::StatusOr<at::Tensor> ViewAsTorch(const HostTensor& tensor) {
  const absl::StatusOr<at::ScalarType> type = ToScalarType(tensor.datatype);
  if (!type.ok()) return type.status();
  // from_blob takes a mutable pointer for tensors that are only read as well.
  return torch::from_blob(const_cast<char*>(tensor.bytes.data()), tensor.shape,
                          torch::TensorOptions().dtype(*type));
}

absl::StatusOr<HostTensor> ToHost(const at::Tensor& tensor) {
  try {
    const at::Tensor values =
        tensor.detach().to(at::kCPU, at::kFloat).contiguous();
    HostTensor host{.datatype = DataType::kFp32, .shape = values.sizes().vec()};
    host.bytes.assign(static_cast<const char*>(values.const_data_ptr()),
                      values.nbytes());
    return host;
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor cannot be read: ", std::string(FirstLine(error.what()))));
  }
}

absl::string_view FirstLine(absl::string_view message) {
  return message.substr(0, message.find('\n'));
}

}  // namespace parm
