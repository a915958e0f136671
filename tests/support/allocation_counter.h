#pragma once

// Counts calls of operator new in a program that links allocation_counter.cc.

#include <cstdint>

namespace parm {

/// Calls so far. For programs that allocate on one thread.
int64_t NumAllocations();

}  // namespace parm
