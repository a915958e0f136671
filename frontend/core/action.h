#pragma once

// What the core wants done. The performer (live loop or simulator) carries an
// action out at once or later, and reports back with an event; it never calls
// the core from inside Emit. Spans are valid during the call only.

#include <cstdint>
#include <optional>
#include <variant>

#include "absl/types/span.h"
#include "base/ids.h"
#include "base/time.h"

namespace parm::core {

/// Label `attempt_type` of the metrics.
enum class AttemptType : uint8_t { kOriginal, kRetry, kHedge, kParity };
inline constexpr size_t kNumAttemptTypes = 4;

/// Send a task. The reply, Started or TaskNotSent comes back as an event.
/// A batch task carries the inputs of its queries, concatenated on dimension 0
/// in this order; a parity task has one input, the encoded parity query.
struct DispatchTask {
  TaskId task;
  WorkerId worker;
  BundleKey bundle;
  ModelId model;
  AttemptType attempt;
  Luck luck;         // of seeded faults at the worker; luck.h
  uint8_t priority;  // 0 ordinary, 1 redundant
  Time deadline;     // remaining budget = deadline - now
  absl::Span<const BufferId> inputs;
};

/// Withdraw a task if it has not begun. Its terminal reply still comes.
struct CancelTask {
  TaskId task;
  WorkerId worker;
};

/// The inputs of one member: its queries' buffers, in order.
struct MemberInputs {
  absl::Span<const BufferId> inputs;
};

/// Encode parity query `parity_index`; report with ParityEncoded.
struct EncodeParity {
  GroupId group;
  ModelId model;
  uint8_t unit;
  uint8_t parity_index;
  absl::Span<const MemberInputs> members;
};

/// Rebuild a member's output; report with MemberDecoded.
struct DecodeMember {
  GroupId group;
  ModelId model;
  uint8_t unit;
  uint8_t member;
  uint8_t num_members;
  BundleKey deployed;
  /// k + r slots; BufferId 0: not used.
  absl::Span<const BufferId> outputs;
};

/// Where an answer came from; metrics, headers and run records name it so.
enum class AnswerSource : uint8_t {
  kExact,
  kHedged,
  kReconstructed,
  kExit,
  kBackup,
  kDefault,
  kError,
};

enum class AnswerError : uint8_t {
  kNone,
  kDeadlineExceeded,  // 504
  kNoWorker,          // 503: no live worker serves the model
  kOverloaded,        // 503: an admission bound was hit
  kDraining,          // 503
  kBackend,           // 500: the worker refused or failed for good
};

/// The one answer of a query. It is rows [first_sample, first_sample +
/// num_samples) of `output` (dimension 0); `output` is 0 for kDefault, kError.
struct AnswerQuery {
  QueryId query;
  ModelId model;
  AnswerSource source;
  AnswerError error = AnswerError::kNone;
  BufferId output{};
  uint32_t first_sample = 0;
  uint32_t num_samples = 0;
  std::optional<float> confidence;
  /// The worker whose reply it is, for kBackend: its error text.
  TaskId task{};
};

/// Compare a decode with the late original, for the quality ledger; report
/// with OutputsCompared. Both buffers may be released right after.
struct CompareOutputs {
  ModelId model;
  BufferId decoded;
  BufferId original;
};

/// Nobody in the core needs this buffer any more.
struct ReleaseBuffer {
  BufferId buffer;
};

/// Ask a silent or dead worker for a sign of life (WorkerHeard, WorkerUp).
struct ProbeWorker {
  WorkerId worker;
};

/// Send TimerFired at this time; replaces the time asked for before.
struct WakeAt {
  Time time;
};

using Action = std::variant<DispatchTask, CancelTask, EncodeParity,
                            DecodeMember, AnswerQuery, CompareOutputs,
                            ReleaseBuffer, ProbeWorker, WakeAt>;

class ActionSink {
 public:
  virtual ~ActionSink() = default;
  virtual void Emit(const Action& action) = 0;
};

}  // namespace parm::core
