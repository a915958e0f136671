#include "frontend/config_source.h"

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace parm {

std::string ConfigSource::Path(const std::string& path) const {
  return (std::filesystem::path(file_).parent_path() / path).string();
}

absl::Status ConfigSource::Error(const ConfigPath& path,
                                 absl::string_view text) const {
  const YamlNode* node = &root_;
  int line = root_.line;
  for (const auto& step : path) {
    const YamlNode* next = nullptr;
    if (const auto* key = std::get_if<absl::string_view>(&step)) {
      for (size_t i = 0; i + 1 < node->children.size(); i += 2) {
        if (node->children[i].text != *key) continue;
        line = node->children[i].line;
        next = &node->children[i + 1];
      }
    } else if (std::get<size_t>(step) < node->children.size()) {
      next = &node->children[std::get<size_t>(step)];
      line = next->line;
    }
    if (next == nullptr) break;
    node = next;
  }
  return absl::InvalidArgumentError(absl::StrCat(file_, ":", line, ": ", text));
}

}  // namespace parm
