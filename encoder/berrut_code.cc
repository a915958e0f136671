#include "encoder/berrut_code.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "encoder/kernels.h"

namespace parm {
namespace {

// Floats of each input that are coded for all outputs before the next ones are
// read: sixteen pieces stay in a second-level cache, eight in a first-level
// one.
constexpr size_t kPiece = 1024;

// Row by row.
std::vector<float> ToFloats(const Matrix& matrix) {
  std::vector<float> values;
  for (int row = 0; row < matrix.num_rows(); ++row) {
    for (int column = 0; column < matrix.num_columns(); ++column) {
      values.push_back(static_cast<float>(matrix.at(row, column)));
    }
  }
  return values;
}

// outputs[i] = sum over j of weights[i * inputs + j] * inputs[j].
void ApplyRows(absl::Span<const float> weights,
               absl::Span<const std::byte* const> inputs, size_t count,
               absl::Span<std::byte* const> outputs) {
  const std::byte* pieces[kMaxKernelInputs];
  for (size_t begin = 0; begin < count; begin += kPiece) {
    const size_t size = std::min(kPiece, count - begin);
    const size_t offset = begin * sizeof(float);
    for (size_t j = 0; j < inputs.size(); ++j) pieces[j] = inputs[j] + offset;
    for (size_t i = 0; i < outputs.size(); ++i) {
      WeightedSum(weights.subspan(i * inputs.size(), inputs.size()),
                  absl::MakeConstSpan(pieces, inputs.size()), size,
                  outputs[i] + offset);
    }
  }
}

// FP32 of `shape`, whole.
template <typename View>
absl::Status CheckLike(absl::string_view what, const View& tensor,
                       absl::Span<const int64_t> shape) {
  PARM_ASSIGN_OR_RETURN(const int64_t want_bytes,
                        NumBytes(DataType::kFp32, shape));
  if (tensor.datatype == DataType::kFp32 && tensor.shape == shape &&
      tensor.bytes.size() == static_cast<size_t>(want_bytes)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "a tensor is not of the code's kind: ", what, " is ",
      DataTypeName(tensor.datatype), " ", ShapeToString(tensor.shape), " in ",
      tensor.bytes.size(), " bytes, want FP32 ", ShapeToString(shape)));
}

absl::Status CheckCount(absl::string_view what, size_t got, int want) {
  if (got == static_cast<size_t>(want)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("number of ", what, " differs: got ", got, ", want ", want));
}

std::vector<double> WorkerNodesOf(const BerrutOptions& options) {
  return options.nodes == WorkerNodes::kSecondKind
             ? SecondKindNodes(options.num_workers)
             : FirstKindNodes(options.num_workers);
}

}  // namespace

absl::StatusOr<BerrutCode> BerrutCode::Create(const BerrutOptions& options) {
  if (options.k < 2 || options.num_workers < options.k ||
      options.num_workers > kMaxWorkers) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a berrut code takes 2 <= k <= workers <= ", kMaxWorkers,
        ": got k = ", options.k, " and ", options.num_workers, " workers"));
  }
  return BerrutCode(options);
}

BerrutCode::BerrutCode(const BerrutOptions& options)
    : options_(options),
      member_nodes_(FirstKindNodes(options.k)),
      worker_nodes_(WorkerNodesOf(options)),
      encode_(InterpolationMatrix(member_nodes_, worker_nodes_,
                                  options.encode_weights)),
      encode_weights_(ToFloats(encode_)) {}

absl::StatusOr<Matrix> BerrutCode::DecodeMatrix(WorkerMask answered) const {
  std::vector<double> nodes;
  std::vector<int> workers;
  for (int worker = 0; worker < options_.num_workers; ++worker) {
    if (((answered >> worker) & 1U) == 0) continue;
    nodes.push_back(worker_nodes_[static_cast<size_t>(worker)]);
    workers.push_back(worker);
  }
  if (nodes.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no output to decode from: answers are 0x",
                     absl::Hex(answered), " of ", options_.num_workers));
  }
  const Matrix narrow =
      InterpolationMatrix(nodes, member_nodes_, options_.decode_weights);
  Matrix decode(options_.k, options_.num_workers);
  for (int row = 0; row < options_.k; ++row) {
    for (int i = 0; i < narrow.num_columns(); ++i) {
      decode.at(row, workers[static_cast<size_t>(i)]) = narrow.at(row, i);
    }
  }
  return decode;
}

absl::Status BerrutCode::Encode(
    absl::Span<const TensorView> members,
    absl::Span<const MutableTensorView> coded) const {
  PARM_RETURN_IF_ERROR(CheckCount("members", members.size(), options_.k));
  PARM_RETURN_IF_ERROR(
      CheckCount("coded queries", coded.size(), options_.num_workers));
  const absl::Span<const int64_t> shape = members[0].shape;
  const std::byte* inputs[kMaxWorkers];
  std::byte* outputs[kMaxWorkers];
  for (size_t j = 0; j < members.size(); ++j) {
    PARM_RETURN_IF_ERROR(CheckLike("a member", members[j], shape));
    inputs[j] = members[j].bytes.data();
  }
  for (size_t i = 0; i < coded.size(); ++i) {
    PARM_RETURN_IF_ERROR(CheckLike("a coded query", coded[i], shape));
    outputs[i] = coded[i].bytes.data();
  }
  ApplyRows(encode_weights_, absl::MakeConstSpan(inputs, members.size()),
            members[0].bytes.size() / sizeof(float),
            absl::MakeConstSpan(outputs, coded.size()));
  return absl::OkStatus();
}

absl::Status ApplyDecodeMatrix(const Matrix& decode,
                               absl::Span<const TensorView> outputs,
                               absl::Span<const MutableTensorView> results) {
  if (decode.num_columns() > BerrutCode::kMaxWorkers ||
      decode.num_rows() > BerrutCode::kMaxWorkers || results.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a decode matrix is out of range: got ", decode.num_rows(), " x ",
        decode.num_columns(), ", want up to ", BerrutCode::kMaxWorkers));
  }
  PARM_RETURN_IF_ERROR(
      CheckCount("outputs", outputs.size(), decode.num_columns()));
  PARM_RETURN_IF_ERROR(
      CheckCount("results", results.size(), decode.num_rows()));
  const absl::Span<const int64_t> shape = results[0].shape;
  // Columns that are used by any row.
  std::vector<const std::byte*> inputs;
  std::vector<int> columns;
  for (int column = 0; column < decode.num_columns(); ++column) {
    bool is_used = false;
    for (int row = 0; row < decode.num_rows(); ++row) {
      is_used = is_used || decode.at(row, column) != 0;
    }
    if (!is_used) continue;
    const TensorView& output = outputs[static_cast<size_t>(column)];
    PARM_RETURN_IF_ERROR(CheckLike("an output", output, shape));
    inputs.push_back(output.bytes.data());
    columns.push_back(column);
  }
  if (inputs.empty()) {
    return absl::InvalidArgumentError("a decode matrix is zero");
  }
  std::vector<float> weights;
  std::vector<std::byte*> rows;
  for (int row = 0; row < decode.num_rows(); ++row) {
    const MutableTensorView& result = results[static_cast<size_t>(row)];
    PARM_RETURN_IF_ERROR(CheckLike("a result", result, shape));
    rows.push_back(result.bytes.data());
    for (int column : columns) {
      weights.push_back(static_cast<float>(decode.at(row, column)));
    }
  }
  const size_t count = results[0].bytes.size() / sizeof(float);
  ApplyRows(weights, inputs, count, rows);
  for (const std::byte* row : rows) {
    if (!AllFinite(row, count)) {
      return absl::DataLossError(
          "a decode used or made a value that is not finite");
    }
  }
  return absl::OkStatus();
}

double NoiseGain(const Matrix& decode) {
  double largest = 0;
  for (int row = 0; row < decode.num_rows(); ++row) {
    double sum = 0;
    for (int column = 0; column < decode.num_columns(); ++column) {
      sum += std::abs(decode.at(row, column));
    }
    largest = std::max(largest, sum);
  }
  return largest;
}

std::vector<double> LinearLeak(const Matrix& decode, const Matrix& encode) {
  PARM_CHECK(decode.num_columns() == encode.num_rows());
  PARM_CHECK(decode.num_rows() == encode.num_columns());
  std::vector<double> leaks;
  for (int row = 0; row < decode.num_rows(); ++row) {
    double leak = 0;
    for (int member = 0; member < encode.num_columns(); ++member) {
      double product = row == member ? -1 : 0;
      for (int worker = 0; worker < encode.num_rows(); ++worker) {
        product += decode.at(row, worker) * encode.at(worker, member);
      }
      leak += std::abs(product);
    }
    leaks.push_back(leak);
  }
  return leaks;
}

}  // namespace parm
