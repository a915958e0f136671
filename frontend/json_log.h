#pragma once

// How the process logs: text for people, one JSON object a line for machines.

#include <string>

#include "absl/status/status.h"

namespace parm {

/// Makes the default logger of spdlog write to stderr.
/// format: "text" or "json"; level: "debug", "info", "warn", "error" or "off".
/// Errors: kInvalidArgument for another format; kInternal if spdlog refuses.
/// Threads: call before others log.
absl::Status StartLogging(const std::string& format, const std::string& level);

}  // namespace parm
