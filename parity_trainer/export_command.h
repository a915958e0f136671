#pragma once

// `parm-train export`: a bundle's model for servers that are not ours: the
// TorchScript file, a model of a Triton repository, or one of MLServer.

#include <string>

#include "absl/status/statusor.h"

namespace parm {

struct ExportOptions {
  std::string bundle;
  std::string format = "triton";  // or mlserver, torchscript
  std::string name;    // of the model there; default: last part of `bundle`
  std::string out;     // the repository; of torchscript the file
  bool force = false;  // replace a model of this name
};

/// Returns a line for the user. What makes a server see the model is written
/// last.
/// Errors: kInvalidArgument for a format or name that cannot be, or a bundle
/// with several inputs or outputs or a datatype that the server's Python has
/// not; kAlreadyExists if the model is there, without `force`; else as
/// LoadBundle, WriteDirectoryAtomically and WriteFileAtomically.
absl::StatusOr<std::string> RunExportCommand(const ExportOptions& options);

}  // namespace parm
