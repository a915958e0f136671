#include "proto/oip/json_parser.h"

#include <simdjson.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm::oip {
namespace {

/// A parser that grew beyond this for one document gives its memory back.
constexpr size_t kKeptCapacity = size_t{1} << 20;

absl::Status ReadParameterValue(const simdjson::dom::element& value,
                                absl::string_view key, ParameterValue* out) {
  using simdjson::dom::element_type;
  switch (value.type()) {
    case element_type::BOOL:
      *out = bool{value.get_bool().value_unsafe()};
      return absl::OkStatus();
    case element_type::INT64:
      *out = int64_t{value.get_int64().value_unsafe()};
      return absl::OkStatus();
    case element_type::UINT64:
      *out = uint64_t{value.get_uint64().value_unsafe()};
      return absl::OkStatus();
    case element_type::DOUBLE:
      *out = double{value.get_double().value_unsafe()};
      return absl::OkStatus();
    case element_type::STRING:
      *out = std::string(value.get_string().value_unsafe());
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "a parameter must be a string, a number or a boolean: got '", key,
          "' of another type"));
  }
}

}  // namespace

static_assert(kBodyPadding >= simdjson::SIMDJSON_PADDING);

JsonParser::JsonParser() = default;
JsonParser::~JsonParser() = default;
JsonParser::JsonParser(JsonParser&&) noexcept = default;
JsonParser& JsonParser::operator=(JsonParser&&) noexcept = default;

absl::Status JsonParser::ParseObject(const Buffer& storage, size_t json_bytes,
                                     simdjson::dom::object* root) {
  if (json_bytes == 0) {
    return absl::InvalidArgumentError(
        "the body must be a JSON object: got no JSON");
  }
  if (parser_ == nullptr ||
      (parser_->capacity() > kKeptCapacity && json_bytes <= kKeptCapacity)) {
    parser_ = std::make_unique<simdjson::dom::parser>();
    // Fixes the depth; the capacity grows on demand.
    if (parser_->allocate(4096, kMaxJsonDepth) != simdjson::SUCCESS) {
      parser_ = nullptr;
      return absl::ResourceExhaustedError("no memory for a JSON parser");
    }
  }
  const bool padded = storage.size() - json_bytes >= kBodyPadding;
  const auto* text = reinterpret_cast<const uint8_t*>(storage.bytes().data());
  simdjson::dom::element value;
  const simdjson::error_code error =
      parser_->parse(text, json_bytes, /*realloc_if_needed=*/!padded)
          .get(value);
  if (error == simdjson::MEMALLOC) {
    return absl::ResourceExhaustedError("no memory for a JSON document");
  }
  if (error == simdjson::DEPTH_ERROR) {
    return absl::InvalidArgumentError(absl::StrCat(
        "JSON is nested too deeply: want at most ", kMaxJsonDepth, " levels"));
  }
  if (error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the body is not valid JSON: ", simdjson::error_message(error)));
  }
  if (value.get(*root) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(
        "the body must be a JSON object: got another JSON value");
  }
  return absl::OkStatus();
}

absl::Status ReadName(const simdjson::dom::element& value,
                      absl::string_view what, const CodecLimits& limits,
                      std::string* out) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a string is expected: got another type for '", what, "'"));
  }
  if (text.size() > limits.max_name_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a string is too long: got ", text.size(), " bytes, want at most ",
        limits.max_name_bytes, " for '", what, "'"));
  }
  out->assign(text.data(), text.size());
  return absl::OkStatus();
}

absl::Status ReadParameters(const simdjson::dom::element& value, Sender sender,
                            const CodecLimits& limits, Parameters* out) {
  const bool from_server = sender == Sender::kServer;
  simdjson::dom::object object;
  if (from_server && value.is_null()) return absl::OkStatus();
  if (value.get(object) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("parameters must be an object");
  }
  for (const simdjson::dom::key_value_pair field : object) {
    const absl::string_view key = ToView(field.key);
    if (from_server && (field.value.is_null() || field.value.is_object() ||
                        field.value.is_array())) {
      continue;
    }
    if (out->size() == limits.max_parameters) {
      return absl::InvalidArgumentError(absl::StrCat(
          "too many parameters: want at most ", limits.max_parameters));
    }
    if (key.size() > limits.max_name_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("the name of a parameter is too long: got ", key.size(),
                       " bytes, want at most ", limits.max_name_bytes));
    }
    for (const auto& [name, unused] : *out) {
      if (name == key) {
        return absl::InvalidArgumentError(
            absl::StrCat("a parameter is given twice: got '", key, "'"));
      }
    }
    out->emplace_back(std::string(key), ParameterValue());
    PARM_RETURN_IF_ERROR(
        ReadParameterValue(field.value, key, &out->back().second));
  }
  return absl::OkStatus();
}

std::optional<ParameterValue> TakeParameter(absl::string_view name,
                                            Parameters* parameters) {
  const auto found =
      std::find_if(parameters->begin(), parameters->end(),
                   [&](const auto& entry) { return entry.first == name; });
  if (found == parameters->end()) return std::nullopt;
  std::optional<ParameterValue> value(std::move(found->second));
  parameters->erase(found);
  return value;
}

absl::Status TakeBool(absl::string_view name, Parameters* parameters,
                      bool* out) {
  const std::optional<ParameterValue> value = TakeParameter(name, parameters);
  if (!value.has_value()) return absl::OkStatus();
  if (!std::holds_alternative<bool>(*value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a parameter must be a boolean: got '", name, "' of another type"));
  }
  *out = std::get<bool>(*value);
  return absl::OkStatus();
}

}  // namespace parm::oip
