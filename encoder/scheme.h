#pragma once

// What a code scheme tells the registry about itself. A scheme is a file pair
// that defines one of these, and a line in code_registry.cc.

#include <memory>

#include "absl/strings/string_view.h"
#include "encoder/code.h"

namespace parm {

struct CodeScheme {
  absl::string_view name;
  /// For messages: "k = 2..8 and r = 1".
  absl::string_view takes;
  bool (*supports)(int k, int r);
  /// Needs: supports(spec.k, spec.r).
  std::unique_ptr<const Code> (*create)(const CodeSpec& spec);
};

}  // namespace parm
