#pragma once

// frontend.yaml's text beside the values that were read from it, so that what
// is wrong between fields is told with its line. For frontend_config.cc and the
// parts of it.

#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proto/yaml_tree.h"

namespace parm {

/// Where a value stands: keys of maps and positions in lists, from the root.
using ConfigPath = std::vector<std::variant<absl::string_view, size_t>>;

class ConfigSource {
 public:
  ConfigSource(YamlNode root, absl::string_view file)
      : root_(std::move(root)), file_(file) {}

  /// A path that is relative to the file's folder.
  std::string Path(const std::string& path) const;

  /// kInvalidArgument "FILE:LINE: text", at the deepest step that is there.
  absl::Status Error(const ConfigPath& path, absl::string_view text) const;

 private:
  const YamlNode root_;
  const std::string file_;
};

/// A field of a message that was not given has its type's zero.
template <typename Value>
Value ValueOr(Value value, Value fallback) {
  return value == Value{} ? fallback : value;
}

}  // namespace parm
