#pragma once

// The small JSON documents around inference: server and model metadata, model
// configuration, the repository index, errors. Servers write them, clients read
// the ones that they need.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/oip/body.h"
#include "proto/oip/messages.h"
#include "proto/oip/model_statistics.h"

namespace parm::oip {

/// GET /v2.
std::string WriteServerMetadata(absl::string_view name,
                                absl::string_view version,
                                absl::Span<const absl::string_view> extensions);

/// GET /v2/models/{m}.
std::string WriteModelMetadata(const ModelMetadata& model);

/// GET /v2/models/{m}/config: the part of Triton's ModelConfig that its tools
/// read. Dimension 0 is left out of `dims` if max_batch_size > 0, as Triton
/// does.
std::string WriteModelConfig(const ModelMetadata& model);

struct RepositoryEntry {
  std::string name;
  std::string version;
  bool ready = false;
  std::string reason;
};

/// POST /v2/repository/index.
std::string WriteRepositoryIndex(absl::Span<const RepositoryEntry> entries);

/// GET /v2/models, as the KServe SDK has it.
std::string WriteModelNames(absl::Span<const std::string> names);

/// GET /v2/models[/{m}]/stats: {"model_stats":[...]}, with every field that
/// Triton's tools read.
std::string WriteStatistics(absl::Span<const ModelStatistics> models);

/// `text`, in which '?' stands for bytes beyond ASCII if it is not UTF-8: a
/// message may quote what a client sent.
std::string ToUtf8(absl::string_view text);

/// {"error": message}, made UTF-8.
std::string WriteError(absl::string_view message);

/// What GET /v2 of a server says.
struct ServerMetadata {
  std::string name;
  std::string version;
  std::vector<std::string> extensions;
};

/// Errors: kDataLoss if malformed or beyond a limit. What is left out is empty.
absl::StatusOr<ServerMetadata> ParseServerMetadata(
    const Body& body, const CodecLimits& limits = {});

/// What GET /v2/models/{m} of a server says; max_batch_size is not in it.
/// Errors: kDataLoss if malformed or beyond a limit.
absl::StatusOr<ModelMetadata> ParseModelMetadata(
    const Body& body, const CodecLimits& limits = {});

/// The sentence of an error document; the text itself, cut to 1,000 bytes, if
/// it is none.
std::string ParseError(absl::string_view text);

/// "ready" of the body of POST /v2/repository/index; false if it is empty.
/// Errors: kInvalidArgument.
absl::StatusOr<bool> ParseReadyFilter(const Body& body);

}  // namespace parm::oip
