#pragma once

#include <cstddef>
#include <string>

namespace parm {

/// How often `part`, which is not empty, stands in `text`.
inline size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace parm
