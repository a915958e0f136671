#pragma once

// Strict YAML to protobuf: the schema of every configuration file and of
// bundle.yaml is a message, and whatever the file holds beyond it is an error
// that names file, line and what was expected. Nothing here opens a socket.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "google/protobuf/message.h"

namespace parm {

/// Fills `*message` from YAML text. `file` is used in messages only.
/// Checks the options of proto/config.proto: duration, required, one_of,
/// minimum, maximum.
/// Errors: kInvalidArgument "FILE:LINE: ..." for an unknown or repeated key, a
/// wrong type, a value out of range, a missing required field, broken YAML, or
/// nesting deeper than 32. `*message` is then unspecified.
absl::Status ParseStrictYaml(absl::string_view yaml, absl::string_view file,
                             google::protobuf::Message* message);

/// Reads the file, then as ParseStrictYaml.
/// Errors: also kNotFound if it cannot be opened, kInvalidArgument above 4 MiB.
absl::Status LoadStrictYaml(const std::string& path,
                            google::protobuf::Message* message);

/// The message as YAML that ParseStrictYaml reads back to an equal message.
/// Fields without a value are left out.
std::string WriteYaml(const google::protobuf::Message& message);

/// "500ms", "20us", "1.5s", "250ns" -> Duration.
/// Errors: kInvalidArgument for anything else, negative values, or > 1 hour.
absl::StatusOr<Duration> ParseDuration(absl::string_view text);

/// ParseDuration for a field that ParseStrictYaml has checked; `fallback` if it
/// is empty.
Duration DurationOr(absl::string_view text, Duration fallback);

}  // namespace parm
