#pragma once

// The one place that runs simdjson. It keeps the parser's memory between
// documents, so that the small JSON part of a binary request costs no
// allocation. Internal to proto/oip/.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/oip/body.h"
#include "proto/oip/messages.h"

namespace simdjson::dom {
class element;
class object;
class parser;
}  // namespace simdjson::dom

namespace parm::oip {

/// Threads: owned by one.
class JsonParser {
 public:
  JsonParser();
  ~JsonParser();
  JsonParser(JsonParser&&) noexcept;
  JsonParser& operator=(JsonParser&&) noexcept;

  /// Parses the first `json_bytes` of `storage`, all of them one JSON object
  /// (UTF-8, nested at most kMaxJsonDepth deep). `*root` is valid until the
  /// next call.
  /// Needs: json_bytes <= storage.size().
  /// Errors: kInvalidArgument.
  absl::Status ParseObject(const Buffer& storage, size_t json_bytes,
                           simdjson::dom::object* root);

 private:
  std::unique_ptr<simdjson::dom::parser> parser_;
};

/// A view of simdjson's own string type.
template <typename StringView>
absl::string_view ToView(StringView text) {
  return absl::string_view(text.data(), text.size());
}

/// Reads a string of at most limits.max_name_bytes. `what` names it in errors.
/// Errors: kInvalidArgument.
absl::Status ReadName(const simdjson::dom::element& value,
                      absl::string_view what, const CodecLimits& limits,
                      std::string* out);

/// Who wrote a document. What servers send is read more kindly: they put null
/// and objects of their own into parameters, which are skipped, and null for a
/// number that JSON cannot express.
enum class Sender { kClient, kServer };

/// Reads an object of strings, numbers and booleans.
/// Errors: kInvalidArgument for other values, a repeated key, too many.
absl::Status ReadParameters(const simdjson::dom::element& value, Sender sender,
                            const CodecLimits& limits, Parameters* out);

/// Removes `name` from `parameters` and returns its value.
std::optional<ParameterValue> TakeParameter(absl::string_view name,
                                            Parameters* parameters);

/// TakeParameter for a boolean. `*out` is unchanged if it is not there.
/// Errors: kInvalidArgument if it is not a boolean.
absl::Status TakeBool(absl::string_view name, Parameters* parameters,
                      bool* out);

}  // namespace parm::oip
