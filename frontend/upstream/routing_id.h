#pragma once

// The name under which our ROUTER socket knows one connection to one worker.
// It carries a generation, so that a message from a connection that was given
// up cannot be taken for one from its successor.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/ids.h"

namespace parm {

struct RoutingId {
  WorkerId worker{};
  uint32_t generation = 0;

  bool operator==(const RoutingId&) const = default;
};

/// Nine bytes; the first is never zero, which libzmq keeps for itself.
std::string EncodeRoutingId(WorkerId worker, uint32_t generation);

/// nullopt unless EncodeRoutingId made it.
std::optional<RoutingId> DecodeRoutingId(absl::string_view bytes);

}  // namespace parm
