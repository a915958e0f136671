#pragma once

// YAML text as a small tree with line numbers: the first half of strict YAML.
// Only what a configuration file needs: one document, no aliases (they can
// make a few lines stand for gigabytes), no tags, bounded depth.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parm {

inline constexpr int kMaxYamlDepth = 32;
inline constexpr size_t kMaxYamlBytes = size_t{4} << 20;

struct YamlNode {
  enum class Kind { kNothing, kScalar, kList, kMap };

  Kind kind = Kind::kNothing;
  int line = 1;
  bool quoted = false;             // of a scalar
  std::string text;                // of a scalar
  std::vector<YamlNode> children;  // of a list; of a map key, value, key, ...
};

/// An empty document is an empty map.
/// Errors: kInvalidArgument "FILE:LINE: ..." for broken YAML, several
/// documents, an alias, a tag, a key that is no text, depth or size beyond the
/// limits.
absl::StatusOr<YamlNode> ParseYamlTree(absl::string_view yaml,
                                       absl::string_view file);

/// For messages: `"hello"`, `a list`, `a map`, `nothing`.
std::string Describe(const YamlNode& node);

}  // namespace parm
