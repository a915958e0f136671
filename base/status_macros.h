#pragma once

// Early return for absl::Status and absl::StatusOr, and the check for broken
// invariants. Every folder uses these; Abseil of Debian 12 has neither.

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

/// Returns from the enclosing function if `expr` is not OK.
#define PARM_RETURN_IF_ERROR(expr)               \
  do {                                           \
    absl::Status parm_status_ = (expr);          \
    if (!parm_status_.ok()) return parm_status_; \
  } while (false)

#define PARM_CONCAT_INNER_(a, b) a##b
#define PARM_CONCAT_(a, b) PARM_CONCAT_INNER_(a, b)

/// PARM_ASSIGN_OR_RETURN(auto x, F()): x is F's value, or return its status.
#define PARM_ASSIGN_OR_RETURN(lhs, expr) \
  PARM_ASSIGN_OR_RETURN_(PARM_CONCAT_(parm_or_, __LINE__), lhs, expr)
#define PARM_ASSIGN_OR_RETURN_(tmp, lhs, expr)   \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)

/// Ends the process when our own invariant is broken. Never for outside input.
#define PARM_CHECK(condition)                                               \
  do {                                                                      \
    if (!(condition)) {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, \
                   #condition);                                             \
      std::abort();                                                         \
    }                                                                       \
  } while (false)
