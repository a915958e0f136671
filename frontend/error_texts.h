#pragma once

// What workers said about their last failed tasks, for the client's error.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"

namespace parm {

/// Bound: the last 256 texts, 512 bytes each.
class ErrorTexts {
 public:
  /// `code`: what the client is to be told.
  void Remember(TaskId task, absl::string_view text,
                absl::StatusCode code = absl::StatusCode::kInternal) {
    constexpr size_t kMaxTexts = 256;
    constexpr size_t kMaxBytes = 512;
    const bool added =
        texts_
            .insert_or_assign(
                Raw(task), Entry{std::string(text.substr(0, kMaxBytes)), code})
            .second;
    if (!added) return;
    order_.push_back(Raw(task));
    if (order_.size() <= kMaxTexts) return;
    texts_.erase(order_.front());
    order_.pop_front();
  }

  /// Empty if nothing is known.
  std::string Get(TaskId task) const {
    const auto found = texts_.find(Raw(task));
    return found == texts_.end() ? std::string() : found->second.text;
  }
  /// kInternal if nothing is known.
  absl::StatusCode CodeOf(TaskId task) const {
    const auto found = texts_.find(Raw(task));
    return found == texts_.end() ? absl::StatusCode::kInternal
                                 : found->second.code;
  }

 private:
  struct Entry {
    std::string text;
    absl::StatusCode code = absl::StatusCode::kInternal;
  };
  std::unordered_map<uint64_t, Entry> texts_;
  std::deque<uint64_t> order_;  // oldest first
};

}  // namespace parm
