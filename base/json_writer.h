#pragma once

// Appends JSON to a string: commas and escapes are its business, structure is
// the caller's. Numbers go through std::to_chars (shortest round trip); a
// double that is not finite is written as null.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace parm {

/// Needs: Begin and End calls match; inside an object every value has a Key.
class JsonWriter {
 public:
  explicit JsonWriter(std::string* out) : out_(out) {}

  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Close('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Close(']'); }
  JsonWriter& Key(absl::string_view key);
  JsonWriter& String(absl::string_view value);
  JsonWriter& Int(int64_t value);
  JsonWriter& Uint(uint64_t value);
  JsonWriter& Double(double value);
  /// Shortest text that reads back as the same float.
  JsonWriter& Float(float value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  /// `json` must be one valid JSON value; it is copied as it is.
  JsonWriter& Raw(absl::string_view json);

 private:
  JsonWriter& Open(char bracket);
  JsonWriter& Close(char bracket);
  void Separate();
  void AppendEscaped(absl::string_view text);

  std::string* const out_;
  std::vector<bool> has_items_;  // One entry per open bracket.
  bool after_key_ = false;
};

}  // namespace parm
