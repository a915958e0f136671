#include "proto/oip/reserved_parameters.h"

#include <string>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace parm::oip {
namespace {

bool IsUnsigned(const ParameterValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return *number >= 0;
  return std::holds_alternative<uint64_t>(value);
}

}  // namespace

absl::Status CheckReserved(const Parameters& parameters) {
  for (const auto& [name, value] : parameters) {
    bool ok = true;
    if (name == "sequence_id") {
      ok = IsUnsigned(value) || std::holds_alternative<std::string>(value);
    } else if (name == "sequence_start" || name == "sequence_end") {
      ok = std::holds_alternative<bool>(value);
    } else if (name == "priority" || name == "timeout") {
      ok = IsUnsigned(value);
    } else if (absl::StartsWith(name, "triton_")) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter keys that start with triton_ are reserved: "
                       "got '",
                       name, "'"));
    }
    if (!ok) {
      return absl::InvalidArgumentError(
          absl::StrCat("a reserved parameter has the wrong type: got '", name,
                       "' of another type"));
    }
  }
  return absl::OkStatus();
}

absl::Status RefuseSharedMemory(const Parameters& parameters) {
  for (const auto& [name, value] : parameters) {
    if (absl::StartsWith(name, "shared_memory_")) {
      return absl::UnimplementedError("shared memory is not supported");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOutputParameters(const RequestedOutput& output) {
  for (const auto& [name, unused] : output.parameters) {
    if (name == "classification") {
      return absl::UnimplementedError(absl::StrCat(
          "classification is not supported: ask for the scores of output '",
          output.name, "'"));
    }
  }
  return RefuseSharedMemory(output.parameters);
}

}  // namespace parm::oip
