#pragma once

// The W3C `traceparent` of a request among its header lines: it goes on to
// model servers as it came, and back to the client, so that whoever reads the
// client's log finds the query again.

#include "absl/strings/string_view.h"

namespace parm {

/// Whether it is as W3C Trace Context writes it: nothing else may come back to
/// a client.
bool IsTraceparent(absl::string_view text);

/// `headers`: lines "name: value\r\n". Empty if there is none, or it is
/// not one.
absl::string_view TraceparentIn(absl::string_view headers);

}  // namespace parm
