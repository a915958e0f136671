#pragma once

// What a run record says about where and when it was made.

#include <string>

namespace parm {

/// "2 x AMD EPYC, Linux 6.18.44"; "unknown" for parts that cannot be read.
std::string MachineName();

/// The time now, "2026-01-31T12:00:00Z".
std::string UtcNow();

}  // namespace parm
