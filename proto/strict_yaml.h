#pragma once

// Strict YAML to protobuf: the schema of every configuration file and of
// bundle.yaml is a message, and whatever the file holds beyond it is an error
// that names file, line and what was expected. Nothing here opens a socket.

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "proto/duration.h"  // for users of fields that hold durations

namespace parm {

/// Where each key stood: "models[0].redundancy.code.k" -> line. For checks that
/// the schema cannot express and that still should name a line.
using YamlLines = std::map<std::string, int>;

/// Fills `*message` from YAML text. `file` is used in messages only.
/// Checks the options of proto/config.proto: duration, required, one_of,
/// minimum, maximum. Fills `*lines` if given.
/// Errors: kInvalidArgument "FILE:LINE: ..." for an unknown or repeated key, a
/// wrong type, a value out of range, a missing required field, broken YAML, or
/// nesting deeper than 32. `*message` is then unspecified.
absl::Status ParseStrictYaml(absl::string_view yaml, absl::string_view file,
                             google::protobuf::Message* message,
                             YamlLines* lines = nullptr);

/// Reads the file, then as ParseStrictYaml.
/// Errors: also kNotFound if it cannot be opened, kInvalidArgument above 4 MiB.
absl::Status LoadStrictYaml(const std::string& path,
                            google::protobuf::Message* message,
                            YamlLines* lines = nullptr);

/// The message as YAML that ParseStrictYaml reads back to an equal message.
/// Fields without a value are left out.
/// Needs: numbers are finite, text is UTF-8.
std::string WriteYaml(const google::protobuf::Message& message);

}  // namespace parm
