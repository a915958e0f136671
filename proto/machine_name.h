#pragma once

// How bundles and run records name the machine that their figures come from.

#include <string>

namespace parm {

/// "2 x AMD EPYC, Linux 6.18.44"; "unknown" for parts that cannot be read.
std::string MachineName();

}  // namespace parm
