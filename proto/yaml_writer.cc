// WriteYaml: the way back from a message to the YAML that strict_yaml.cc reads.

#include <charconv>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "proto/strict_yaml.h"

namespace parm {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsPlain(absl::string_view text) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  if (text.empty() || !is_letter(text.front())) return false;
  for (const char c : text) {
    if (!is_letter(c) && !(c >= '0' && c <= '9') &&
        !absl::StrContains("_-./", c)) {
      return false;
    }
  }
  // Words that other readers of YAML take for something else.
  for (absl::string_view word :
       {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}) {
    if (absl::EqualsIgnoreCase(text, word)) return false;
  }
  return true;
}

void AppendText(absl::string_view text, std::string* out) {
  if (IsPlain(text)) {
    absl::StrAppend(out, text);
    return;
  }
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (byte < 0x20 || byte == 0x7F) {
      out->append("\\x");
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 0xF]);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

template <typename Number>
void AppendNumber(Number value, std::string* out) {
  char text[32];
  const auto result = std::to_chars(text, text + sizeof(text), value);
  out->append(text, result.ptr);
}

// `index` is the entry of a repeated field, or -1.
void AppendScalar(const Message& message, const FieldDescriptor& field,
                  int index, std::string* out) {
  const Reflection& reflection = *message.GetReflection();
  const auto get = [&](auto one, auto entry) {
    return index < 0 ? (reflection.*one)(message, &field)
                     : (reflection.*entry)(message, &field, index);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return AppendNumber(
          get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32), out);
    case FieldDescriptor::CPPTYPE_INT64:
      return AppendNumber(
          get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64), out);
    case FieldDescriptor::CPPTYPE_UINT32:
      return AppendNumber(
          get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32), out);
    case FieldDescriptor::CPPTYPE_UINT64:
      return AppendNumber(
          get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64), out);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return AppendNumber(
          get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat), out);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return AppendNumber(
          get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble), out);
    case FieldDescriptor::CPPTYPE_BOOL:
      out->append(get(&Reflection::GetBool, &Reflection::GetRepeatedBool)
                      ? "true"
                      : "false");
      return;
    default:
      return AppendText(
          get(&Reflection::GetString, &Reflection::GetRepeatedString), out);
  }
}

void AppendMessage(const Message& message, size_t indent, bool behind_dash,
                   std::string* out);

bool IsEmpty(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  return fields.empty();
}

void AppendList(const Message& message, const FieldDescriptor& field,
                size_t indent, std::string* out) {
  const Reflection& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    out->append(" [");
    for (int i = 0; i < size; ++i) {
      if (i > 0) out->append(", ");
      AppendScalar(message, field, i, out);
    }
    out->append("]\n");
    return;
  }
  out->append("\n");
  for (int i = 0; i < size; ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    out->append(indent + 2, ' ');
    if (IsEmpty(entry)) {
      out->append("- {}\n");
    } else {
      out->append("- ");
      AppendMessage(entry, indent + 4, /*behind_dash=*/true, out);
    }
  }
}

// Whole lines. `behind_dash`: the first one continues a list entry's "- ".
void AppendMessage(const Message& message, size_t indent, bool behind_dash,
                   std::string* out) {
  std::vector<const FieldDescriptor*> fields;
  const Reflection& reflection = *message.GetReflection();
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!behind_dash) out->append(indent, ' ');
    behind_dash = false;
    absl::StrAppend(out, field->name(), ":");
    if (field->is_repeated()) {
      AppendList(message, *field, indent, out);
    } else if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      out->push_back(' ');
      AppendScalar(message, *field, /*index=*/-1, out);
      out->push_back('\n');
    } else if (const Message& part = reflection.GetMessage(message, field);
               IsEmpty(part)) {
      out->append(" {}\n");
    } else {
      out->push_back('\n');
      AppendMessage(part, indent + 2, /*behind_dash=*/false, out);
    }
  }
}

}  // namespace

std::string WriteYaml(const Message& message) {
  std::string out;
  AppendMessage(message, /*indent=*/0, /*behind_dash=*/false, &out);
  return out;
}

}  // namespace parm
