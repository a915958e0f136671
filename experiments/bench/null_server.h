#pragma once

// A model server without a model: it answers Open Inference Protocol requests
// at once, as a function says. Against it the load generator is tested and its
// own ceiling is measured, and proxies are measured before it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "proto/oip/messages.h"

namespace parm {

struct NullAnswer {
  /// Over gRPC nobody hangs up: the call is CANCELLED.
  enum class Kind : uint8_t { kReply, kSilence, kHangUp };

  Kind kind = Kind::kReply;
  int status = 200;    // of HTTP; over gRPC 503 is UNAVAILABLE, others INTERNAL
  std::string source;  // x-parm-source; empty: there is none
  /// Of the first row; over HTTP each further row names the next class.
  int predicted_class = 0;
};

struct NullServerOptions {
  uint16_t port = 0;  // 0 picks one
  std::string model = "fashion";
  TensorSpec input{
      .name = "input", .datatype = DataType::kFp32, .shape = {-1, 1, 28, 28}};
  int num_classes = 10;
  /// Gets the tensor's bytes, none of one in JSON. Called on the server's
  /// thread, over gRPC on the library's, several at once. None: class 0, and
  /// nobody looks at the query.
  std::function<NullAnswer(absl::Span<const std::byte> tensor)> answer;
};

/// What the server says, whatever the protocol.
oip::ModelMetadata NullModelMetadata(const NullServerOptions& options);
oip::InferResponse NullResponse(const NullServerOptions& options,
                                int predicted_class, size_t num_rows = 1);

/// Runs on a thread of its own from Create to the destructor.
class NullServer {
 public:
  /// Errors: kUnavailable if the port is in use.
  static absl::StatusOr<std::unique_ptr<NullServer>> Create(
      NullServerOptions options);
  ~NullServer();

  uint16_t port() const;

 private:
  class Impl;
  explicit NullServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace parm
