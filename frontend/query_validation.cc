#include "frontend/query_validation.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace parm {
namespace {

absl::Status Invalid(std::string text) {
  return absl::InvalidArgumentError(std::move(text));
}

std::string Names(const std::vector<TensorSpec>& specs) {
  return absl::StrJoin(specs, ", ", [](std::string* out, const auto& spec) {
    absl::StrAppend(out, "'", spec.name, "'");
  });
}

// -1 in `want` takes any size.
bool ShapeFits(const std::vector<int64_t>& got,
               const std::vector<int64_t>& want) {
  if (got.size() != want.size()) return false;
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] < 0 || (want[i] >= 0 && got[i] != want[i])) return false;
  }
  return true;
}

absl::Status CheckInput(const oip::Tensor& input, const TensorSpec& want) {
  const TensorSpec& got = input.spec;
  if (got.datatype != want.datatype) {
    return Invalid(absl::StrCat("unexpected datatype for input '", got.name,
                                "': got ", DataTypeName(got.datatype),
                                ", want ", DataTypeName(want.datatype)));
  }
  if (!ShapeFits(got.shape, want.shape)) {
    return Invalid(absl::StrCat("unexpected shape for input '", got.name,
                                "': got ", ShapeToString(got.shape), ", want ",
                                ShapeToString(want.shape)));
  }
  if (got.datatype == DataType::kBytes) return absl::OkStatus();
  PARM_ASSIGN_OR_RETURN(const int64_t size, NumBytes(got.datatype, got.shape));
  if (static_cast<int64_t>(input.data.size()) != size) {
    return Invalid(absl::StrCat("unexpected size of input '", got.name,
                                "': got ", input.data.size(), " bytes, want ",
                                size, " for ", DataTypeName(got.datatype), " ",
                                ShapeToString(got.shape)));
  }
  return absl::OkStatus();
}

// Moves the request's inputs into the model's order.
absl::StatusOr<TensorSet> TakeInputs(std::vector<oip::Tensor> inputs,
                                     const std::vector<TensorSpec>& specs) {
  if (inputs.size() != specs.size()) {
    return Invalid(absl::StrCat("unexpected number of inputs: got ",
                                inputs.size(), ", want ", specs.size(), " (",
                                Names(specs), ")"));
  }
  std::vector<bool> taken(specs.size());
  TensorSet set;
  set.tensors.resize(specs.size());
  for (oip::Tensor& input : inputs) {
    const auto found = std::find_if(
        specs.begin(), specs.end(),
        [&](const TensorSpec& spec) { return spec.name == input.spec.name; });
    if (found == specs.end()) {
      return Invalid(absl::StrCat("unexpected input '", input.spec.name,
                                  "': the model takes ", Names(specs)));
    }
    const auto position = static_cast<size_t>(found - specs.begin());
    if (taken[position]) {
      return Invalid(
          absl::StrCat("input '", input.spec.name, "' is given twice"));
    }
    taken[position] = true;
    PARM_RETURN_IF_ERROR(CheckInput(input, *found));
    set.tensors[position] = std::move(input);
  }
  return set;
}

absl::Status CheckBatch(TensorSet* set, uint32_t max_batch_size) {
  set->rows = set->tensors[0].spec.shape[0];
  for (const oip::Tensor& tensor : set->tensors) {
    if (tensor.spec.shape[0] != set->rows) {
      return Invalid(absl::StrCat("inputs have different batch sizes: '",
                                  set->tensors[0].spec.name, "' has ",
                                  set->rows, ", '", tensor.spec.name, "' has ",
                                  tensor.spec.shape[0]));
    }
  }
  if (set->rows < 1 || set->rows > int64_t{max_batch_size}) {
    return Invalid(absl::StrCat("unexpected batch size: got ", set->rows,
                                ", want 1 to ", max_batch_size));
  }
  return absl::OkStatus();
}

absl::Status TakeParameters(const oip::Parameters& parameters,
                            ValidQuery* query) {
  for (const auto& [name, value] : parameters) {
    if (name == "parm_mode") {
      const auto* text = std::get_if<std::string>(&value);
      if (text != nullptr && *text == "balanced") {
        query->mode = core::AnswerMode::kBalanced;
      } else if (text != nullptr && *text == "exact") {
        query->mode = core::AnswerMode::kExact;
      } else if (text != nullptr && *text == "fast") {
        query->mode = core::AnswerMode::kFast;
      } else {
        return Invalid(
            "parameter parm_mode must be \"exact\", \"balanced\" or \"fast\"");
      }
    } else if (name == "parm_deadline_us") {
      std::optional<int64_t> us;
      if (const auto* n = std::get_if<int64_t>(&value)) us = *n;
      if (const auto* n = std::get_if<uint64_t>(&value)) {
        us = static_cast<int64_t>(std::min<uint64_t>(*n, INT64_MAX / 1000));
      }
      if (!us.has_value() || *us < 1) {
        return Invalid(
            "parameter parm_deadline_us must be a whole number of at least 1");
      }
      // Compared in microseconds: a huge value must not overflow.
      if (*us < ToMicroseconds(query->deadline)) {
        query->deadline = Microseconds(*us);
      }
    } else if (name.rfind("parm_", 0) == 0) {
      return Invalid(absl::StrCat(
          "unknown parameter '", name,
          "': this frontend knows parm_mode and parm_deadline_us"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ValidQuery> ValidateQuery(oip::InferRequest request,
                                         const CatalogBundle& bundle,
                                         uint32_t max_batch_size,
                                         Duration deadline) {
  ValidQuery query{.deadline = deadline};
  for (const oip::RequestedOutput& output : request.outputs) {
    const bool known = std::any_of(
        bundle.outputs.begin(), bundle.outputs.end(),
        [&](const TensorSpec& spec) { return spec.name == output.name; });
    if (!known) {
      return Invalid(absl::StrCat("unexpected output '", output.name,
                                  "': the model gives ",
                                  Names(bundle.outputs)));
    }
  }
  PARM_RETURN_IF_ERROR(TakeParameters(request.parameters, &query));
  PARM_ASSIGN_OR_RETURN(query.inputs,
                        TakeInputs(std::move(request.inputs), bundle.inputs));
  query.inputs.rows = 1;
  if (bundle.batched) {
    PARM_RETURN_IF_ERROR(CheckBatch(&query.inputs, max_batch_size));
  }
  for (const oip::Tensor& tensor : query.inputs.tensors) {
    query.bytes += tensor.data.size();
  }
  return query;
}

}  // namespace parm
