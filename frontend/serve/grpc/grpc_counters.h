#pragma once

// What the gRPC listener counts; the metrics exporter copies it out.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace parm {

/// Label `method` of the metrics.
enum class GrpcMethod : uint8_t {
  kServerLive,
  kServerReady,
  kModelReady,
  kServerMetadata,
  kModelMetadata,
  kModelConfig,
  kModelStatistics,
  kRepositoryIndex,
  kModelInfer,
  kModelStreamInfer,
  kOther,  // what this server does not do
};
inline constexpr size_t kNumGrpcMethods = 11;
/// Status codes of gRPC are 0 to 16.
inline constexpr size_t kNumGrpcCodes = 17;

/// "ModelInfer" and so on.
const char* GrpcMethodName(GrpcMethod method);
/// "OK", "INVALID_ARGUMENT" and so on.
const char* GrpcCodeName(size_t code);

/// Threads: any. Atomic, because calls end on threads of the gRPC library and
/// on the loop's; nothing is decided by them, so no order is needed.
struct GrpcCounters {
  using Count = std::atomic<uint64_t>;
  /// Ended calls and streams, [method][status code].
  std::array<std::array<Count, kNumGrpcCodes>, kNumGrpcMethods> ended{};
  /// Queries on streams, and those of their replies that were errors.
  Count stream_queries{0};
  Count stream_errors{0};
  /// Of inference alone.
  Count bytes_received{0};
  Count bytes_sent{0};
  /// No inference request.
  Count rejected_messages{0};
  /// Refused because of max_calls or max_streams; of max_buffered_bytes.
  Count shed_calls{0};
  Count shed_bytes{0};
  /// Queries whose client cancelled, or went, before their answer.
  Count abandoned{0};
  /// Open now.
  Count open_calls{0};
  Count open_streams{0};

  /// `code`: gRPC's, 0 to 16.
  void CountEnd(GrpcMethod method, int code) {
    ++ended[static_cast<size_t>(method)][static_cast<size_t>(code)];
  }
};

}  // namespace parm
