#include "proto/strict_yaml.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/stubs/common.h"
#include "proto/config.pb.h"
#include "proto/yaml_tree.h"

namespace parm {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Changes of one letter that turn `from` into `to`.
size_t EditDistance(absl::string_view from, absl::string_view to) {
  std::vector<size_t> row(to.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= from.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j < row.size(); ++j) {
      const size_t replaced = diagonal + (from[i - 1] != to[j - 1] ? 1 : 0);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// ", did you mean "deadline"?", or all keys if none is near.
std::string Suggestion(const Descriptor& descriptor, absl::string_view key) {
  constexpr size_t kMaxKeyLength = 64;
  std::string all;
  absl::string_view nearest;
  size_t nearest_distance = 1 + std::max<size_t>(2, key.size() / 3);
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const std::string& name = descriptor.field(i)->name();
    absl::StrAppend(&all, all.empty() ? "" : ", ", name);
    if (key.size() > kMaxKeyLength) continue;
    const size_t distance = EditDistance(key, name);
    if (distance < nearest_distance) {
      nearest_distance = distance;
      nearest = name;
    }
  }
  if (nearest.empty()) return absl::StrCat("expected one of ", all);
  return absl::StrCat("did you mean \"", nearest, "\"?");
}

absl::string_view TypeName(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number, not negative";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    default:
      return "a map";
  }
}

template <typename Number>
bool ParseNumber(const std::string& text, Number* value) {
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, *value);
  return result.ec == std::errc() && result.ptr == end &&
         std::isfinite(static_cast<double>(*value));
}

// Fills one message after another, and knows the path of keys to where it is.
class Reader {
 public:
  Reader(absl::string_view file, YamlLines* lines)
      : file_(file), lines_(lines) {}

  // Recursion is bounded by the depth of the tree.
  absl::Status ReadMessage(const YamlNode& node, const std::string& path,
                           Message* message) {
    if (node.kind != YamlNode::Kind::kMap) {
      return Error(node, path, "expected a map, got ", Describe(node));
    }
    const Descriptor& descriptor = *message->GetDescriptor();
    std::map<const FieldDescriptor*, int> seen;
    for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
      const YamlNode& key = node.children[i];
      const FieldDescriptor* field = descriptor.FindFieldByName(key.text);
      if (field == nullptr) {
        return Error(key, path, "unknown key ", Describe(key), ": ",
                     Suggestion(descriptor, key.text));
      }
      const auto [earlier, first] = seen.try_emplace(field, key.line);
      if (!first) {
        return Error(key, Join(path, *field), "repeated key, first on line ",
                     earlier->second);
      }
      if (lines_ != nullptr) (*lines_)[Join(path, *field)] = key.line;
      PARM_RETURN_IF_ERROR(
          ReadField(node.children[i + 1], Join(path, *field), *field, message));
    }
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor* field = descriptor.field(i);
      if (field->options().GetExtension(config::required) &&
          !seen.contains(field)) {
        return Error(node, Join(path, *field), "missing, and required");
      }
    }
    return absl::OkStatus();
  }

 private:
  template <typename... Parts>
  absl::Status Error(const YamlNode& node, const std::string& path,
                     const Parts&... parts) const {
    return absl::InvalidArgumentError(absl::StrCat(
        file_, ":", node.line, ": ", path, path.empty() ? "" : ": ", parts...));
  }

  static std::string Join(const std::string& path,
                          const FieldDescriptor& field) {
    return absl::StrCat(path, path.empty() ? "" : ".", field.name());
  }

  absl::Status ReadField(const YamlNode& node, const std::string& path,
                         const FieldDescriptor& field, Message* message) {
    if (!field.is_repeated()) return ReadOne(node, path, field, message);
    if (node.kind != YamlNode::Kind::kList) {
      return Error(node, path, "expected a list, got ", Describe(node));
    }
    if (node.children.empty() &&
        field.options().GetExtension(config::required)) {
      return Error(node, path, "expected at least one entry, got none");
    }
    for (size_t i = 0; i < node.children.size(); ++i) {
      const std::string entry = absl::StrCat(path, "[", i, "]");
      if (lines_ != nullptr) (*lines_)[entry] = node.children[i].line;
      PARM_RETURN_IF_ERROR(ReadOne(node.children[i], entry, field, message));
    }
    return absl::OkStatus();
  }

  // One value: of the field, or to be added to the list that the field is.
  absl::Status ReadOne(const YamlNode& node, const std::string& path,
                       const FieldDescriptor& field, Message* message) {
    const Reflection& reflection = *message->GetReflection();
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* part = field.is_repeated()
                          ? reflection.AddMessage(message, &field)
                          : reflection.MutableMessage(message, &field);
      return ReadMessage(node, path, part);
    }
    if (node.kind != YamlNode::Kind::kScalar) {
      return Error(node, path, "expected ", TypeName(field), ", got ",
                   Describe(node));
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return ReadNumber<int32_t>(node, path, field, message,
                                   &Reflection::SetInt32,
                                   &Reflection::AddInt32);
      case FieldDescriptor::CPPTYPE_INT64:
        return ReadNumber<int64_t>(node, path, field, message,
                                   &Reflection::SetInt64,
                                   &Reflection::AddInt64);
      case FieldDescriptor::CPPTYPE_UINT32:
        return ReadNumber<uint32_t>(node, path, field, message,
                                    &Reflection::SetUInt32,
                                    &Reflection::AddUInt32);
      case FieldDescriptor::CPPTYPE_UINT64:
        return ReadNumber<uint64_t>(node, path, field, message,
                                    &Reflection::SetUInt64,
                                    &Reflection::AddUInt64);
      case FieldDescriptor::CPPTYPE_FLOAT:
        return ReadNumber<float>(node, path, field, message,
                                 &Reflection::SetFloat, &Reflection::AddFloat);
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return ReadNumber<double>(node, path, field, message,
                                  &Reflection::SetDouble,
                                  &Reflection::AddDouble);
      case FieldDescriptor::CPPTYPE_BOOL:
        return ReadBool(node, path, field, message);
      case FieldDescriptor::CPPTYPE_STRING:
        return ReadText(node, path, field, message);
      default:
        return absl::InternalError(
            absl::StrCat("a schema has a field that YAML cannot hold: ", path));
    }
  }

  template <typename Number>
  absl::Status ReadNumber(
      const YamlNode& node, const std::string& path,
      const FieldDescriptor& field, Message* message,
      void (Reflection::*set)(Message*, const FieldDescriptor*, Number) const,
      void (Reflection::*add)(Message*, const FieldDescriptor*, Number) const) {
    Number value{};
    if (node.quoted || !ParseNumber(node.text, &value)) {
      return Error(node, path, "expected ", TypeName(field), ", got ",
                   node.quoted ? "text " : "", Describe(node));
    }
    const auto& options = field.options();
    const double number = static_cast<double>(value);
    if (options.HasExtension(config::minimum) &&
        number < options.GetExtension(config::minimum)) {
      return Error(node, path, "expected at least ",
                   options.GetExtension(config::minimum), ", got ", node.text);
    }
    if (options.HasExtension(config::maximum) &&
        number > options.GetExtension(config::maximum)) {
      return Error(node, path, "expected at most ",
                   options.GetExtension(config::maximum), ", got ", node.text);
    }
    const Reflection& reflection = *message->GetReflection();
    (reflection.*(field.is_repeated() ? add : set))(message, &field, value);
    return absl::OkStatus();
  }

  absl::Status ReadBool(const YamlNode& node, const std::string& path,
                        const FieldDescriptor& field, Message* message) {
    const bool value = node.text == "true";
    if (node.quoted || (!value && node.text != "false")) {
      return Error(node, path, "expected true or false, got ",
                   node.quoted ? "text " : "", Describe(node));
    }
    const Reflection& reflection = *message->GetReflection();
    if (field.is_repeated()) {
      reflection.AddBool(message, &field, value);
    } else {
      reflection.SetBool(message, &field, value);
    }
    return absl::OkStatus();
  }

  absl::Status ReadText(const YamlNode& node, const std::string& path,
                        const FieldDescriptor& field, Message* message) {
    const auto& options = field.options();
    // yaml-cpp lets broken bytes through; as a string of a message they would
    // be refused by whoever receives it.
    if (!google::protobuf::internal::IsStructurallyValidUTF8(
            node.text.data(), static_cast<int>(node.text.size()))) {
      return Error(node, path, "expected text in UTF-8, got other bytes");
    }
    if (node.text.empty() && options.GetExtension(config::required)) {
      return Error(node, path, "expected text, got an empty one");
    }
    if (options.GetExtension(config::duration)) {
      if (absl::Status status = ParseDuration(node.text).status();
          !status.ok()) {
        return Error(node, path, status.message());
      }
    }
    if (options.HasExtension(config::one_of)) {
      const std::string& allowed = options.GetExtension(config::one_of);
      const std::vector<std::string> values = absl::StrSplit(allowed, '|');
      if (std::find(values.begin(), values.end(), node.text) == values.end()) {
        return Error(node, path, "expected one of ", allowed, ", got ",
                     Describe(node));
      }
    }
    const Reflection& reflection = *message->GetReflection();
    if (field.is_repeated()) {
      reflection.AddString(message, &field, node.text);
    } else {
      reflection.SetString(message, &field, node.text);
    }
    return absl::OkStatus();
  }

  const absl::string_view file_;
  YamlLines* const lines_;
};

}  // namespace

absl::Status ParseStrictYaml(absl::string_view yaml, absl::string_view file,
                             Message* message, YamlLines* lines) {
  message->Clear();
  if (lines != nullptr) lines->clear();
  PARM_ASSIGN_OR_RETURN(const YamlNode root, ParseYamlTree(yaml, file));
  return Reader(file, lines).ReadMessage(root, /*path=*/"", message);
}

absl::Status LoadStrictYaml(const std::string& path, Message* message,
                            YamlLines* lines) {
  std::ifstream file(path, std::ios::binary);
  // One byte more than allowed, so that the limit is noticed; a folder opens
  // but cannot be read.
  std::string yaml(kMaxYamlBytes + 1, '\0');
  file.read(yaml.data(), static_cast<std::streamsize>(yaml.size()));
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  yaml.resize(static_cast<size_t>(file.gcount()));
  return ParseStrictYaml(yaml, path, message, lines);
}

}  // namespace parm
