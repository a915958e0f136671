#pragma once

// The opt-in capture of live queries, as the frontend loop sees it: called for
// each query that is valid, before the core. Takes the input tensor alone: no
// id, header, parameter or answer ever gets here.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/time.h"
#include "frontend/buffer_table.h"
#include "frontend/capture_options.h"
#include "frontend/capture_sampler.h"
#include "frontend/capture_writer.h"
#include "frontend/model_catalog.h"

namespace parm {

/// What became of a query of the sample: label `outcome` of
/// parm_capture_queries_total.
enum class CaptureOutcome : uint8_t {
  kTaken,
  kOverRate,      // max_per_second
  kQueueFull,     // the disk is slower than the queries
  kNotSupported,  // a model, datatype or shape that is not captured
  kNotFinite,     // the trainer refuses such data
  kBound,         // max_queries or max_bytes is reached
  kFailed,        // a write failed earlier
};
inline constexpr size_t kNumCaptureOutcomes = 7;

/// Of one captured model.
struct CaptureCounters {
  std::string model;
  std::array<uint64_t, kNumCaptureOutcomes> outcomes{};
  CaptureWritten written;
};

/// Bounds:  those of CaptureOptions on disk, of CaptureWriterOptions in memory.
/// Threads: the loop's only; it shares nothing with the writer's thread but the
///          writer's queue and counters.
class QueryCapture {
 public:
  /// `models` by ModelId. Null if none of them is to be captured.
  /// Errors: as CaptureDirectory::Open.
  static absl::StatusOr<std::unique_ptr<QueryCapture>> Create(
      const std::vector<CaptureModel>& models,
      const CaptureWriterOptions& writer = {});

  /// Looks at a valid query of `model`, and keeps a reference to its input if
  /// it is to be written. Never waits.
  void Offer(ModelId model, const CatalogBundle& bundle,
             const TensorSet& inputs, Time now);

  std::vector<CaptureCounters> counters() const;

 private:
  struct Model {
    std::string name;
    CaptureOptions options;
    CaptureSampler sampler;
    size_t target = 0;  // of the writer
    std::optional<SampleLayout> layout;
    uint64_t rows = 0;   // taken, those of earlier runs included
    uint64_t bytes = 0;  // of their tensors
    bool bound_logged = false;
    bool unsupported_logged = false;
    std::array<uint64_t, kNumCaptureOutcomes> outcomes{};
  };

  QueryCapture(std::vector<std::optional<Model>> models,
               std::vector<CaptureTarget> targets,
               const CaptureWriterOptions& options)
      : models_(std::move(models)), writer_(std::move(targets), options) {}

  CaptureOutcome Consider(Model* model, const CatalogBundle& bundle,
                          const TensorSet& inputs, Time now);
  // Empty if the query's layout can be captured; else the reason.
  std::string WhyNot(const Model& model, const CatalogBundle& bundle,
                     const TensorSet& inputs) const;

  std::vector<std::optional<Model>> models_;  // by ModelId
  CaptureWriter writer_;
};

}  // namespace parm
