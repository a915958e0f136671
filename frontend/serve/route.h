#pragma once

// From a request's target to the endpoint that it names.

#include <string>

#include "absl/strings/string_view.h"
#include "frontend/serve/http_counters.h"

namespace parm {

struct Route {
  enum class Kind {
    kFound,
    kNotFound,
    kBadTarget,     // percent-encoding that is none
    kSharedMemory,  // an extension that is refused by name
  };
  Kind kind = Kind::kNotFound;
  Endpoint endpoint = Endpoint::kOther;
  std::string model;
  std::string version;
};

/// Splits the path, then decodes each segment, so that an encoded slash stays
/// part of a name. Query strings are ignored; the absolute form
/// (http://host/path) is understood.
Route ParseTarget(absl::string_view target);

/// Decodes %41 and so on. False if a % is not followed by two hex digits.
bool PercentDecode(absl::string_view text, std::string* out);

}  // namespace parm
