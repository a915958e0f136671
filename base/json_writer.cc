#include "base/json_writer.h"

#include <charconv>
#include <cmath>

namespace parm {
namespace {

template <typename Number>
void AppendNumber(std::string* out, Number value) {
  char text[32];
  const auto result = std::to_chars(text, text + sizeof(text), value);
  out->append(text, result.ptr);
}

/// Large whole numbers get an exponent: written out they would be integers of
/// 20 digits and more, which parsers refuse.
template <typename Real>
void AppendReal(std::string* out, Real value) {
  constexpr auto kLargestPlain = static_cast<Real>(int64_t{1} << 53);
  if (std::abs(value) < kLargestPlain) return AppendNumber(out, value);
  char text[32];
  const auto result = std::to_chars(text, text + sizeof(text), value,
                                    std::chars_format::scientific);
  out->append(text, result.ptr);
}

}  // namespace

void JsonWriter::Separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_items_.empty()) return;
  if (has_items_.back()) out_->push_back(',');
  has_items_.back() = true;
}

JsonWriter& JsonWriter::Open(char bracket) {
  Separate();
  out_->push_back(bracket);
  has_items_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::Close(char bracket) {
  has_items_.pop_back();
  out_->push_back(bracket);
  return *this;
}

JsonWriter& JsonWriter::Key(absl::string_view key) {
  Separate();
  AppendEscaped(key);
  out_->push_back(':');
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::String(absl::string_view value) {
  Separate();
  AppendEscaped(value);
  return *this;
}

JsonWriter& JsonWriter::Int(int64_t value) {
  Separate();
  AppendNumber(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Uint(uint64_t value) {
  Separate();
  AppendNumber(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Double(double value) {
  if (!std::isfinite(value)) return Null();
  Separate();
  AppendReal(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Float(float value) {
  if (!std::isfinite(value)) return Null();
  Separate();
  AppendReal(out_, value);
  return *this;
}

JsonWriter& JsonWriter::Bool(bool value) {
  return Raw(value ? "true" : "false");
}

JsonWriter& JsonWriter::Null() { return Raw("null"); }

JsonWriter& JsonWriter::Raw(absl::string_view json) {
  Separate();
  out_->append(json.data(), json.size());
  return *this;
}

void JsonWriter::AppendEscaped(absl::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out_->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out_->append("\\\"");
        break;
      case '\\':
        out_->append("\\\\");
        break;
      case '\n':
        out_->append("\\n");
        break;
      case '\t':
        out_->append("\\t");
        break;
      case '\r':
        out_->append("\\r");
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out_->append("\\u00");
          out_->push_back(kHex[(c >> 4) & 0xF]);
          out_->push_back(kHex[c & 0xF]);
        } else {
          out_->push_back(c);
        }
    }
  }
  out_->push_back('"');
}

}  // namespace parm
