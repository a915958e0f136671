#pragma once

// What a run found to be wrong, in words. Only the first few are kept.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace parm::sim {

class Violations {
 public:
  template <typename... Parts>
  void Add(const Parts&... parts) {
    ++count_;
    if (texts_.size() < kMaxTexts) texts_.push_back(absl::StrCat(parts...));
  }
  /// Adds the text unless `holds`.
  template <typename... Parts>
  void Check(bool holds, const Parts&... parts) {
    if (!holds) Add(parts...);
  }

  uint64_t count() const { return count_; }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  static constexpr size_t kMaxTexts = 20;
  uint64_t count_ = 0;
  std::vector<std::string> texts_;
};

}  // namespace parm::sim
