#pragma once

// When a run record was made.

#include <string>

namespace parm {

/// The time now, "2026-01-31T12:00:00Z".
std::string UtcNow();

}  // namespace parm
