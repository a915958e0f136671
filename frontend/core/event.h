#pragma once

// What the core is told. An event carries ids of buffers, never tensors; the
// live loop and the simulator make the same events.

#include <cstdint>
#include <optional>
#include <variant>

#include "absl/types/span.h"
#include "base/ids.h"
#include "base/time.h"

namespace parm::core {

/// Parameter parm_mode of a request.
enum class AnswerMode : uint8_t {
  kBalanced,  // reconstructions from the trigger on, if confident
  kExact,     // never an approximate answer
  kFast,      // the first answer wins
};

/// In a signature: such queries may share a batch, but no coding group.
inline constexpr uint32_t kUncodedLayout = uint32_t{1} << 31;
constexpr bool IsCodable(uint32_t signature) {
  return signature != 0 && (signature & kUncodedLayout) == 0;
}

/// A query was parsed and validated. The core owns `input` until it emits
/// ReleaseBuffer for it, and will emit exactly one AnswerQuery.
/// Needs: `query` was not used before; now < deadline.
struct QueryArrived {
  QueryId query;
  ModelId model;
  /// The deployed bundle that this query is fixed to.
  BundleKey deployed;
  /// Interned (input names, datatypes, per-sample shapes), with
  /// kUncodedLayout where no code takes it; 0: it shares nothing with others.
  uint32_t signature = 0;
  uint32_t samples = 1;  // the query's own batch dimension
  uint64_t bytes = 0;    // of its input, against max_buffered_bytes
  BufferId input;
  Time deadline;
  AnswerMode mode = AnswerMode::kBalanced;
  /// A proxy on the way has sent it before, or sends it twice: no extra work.
  bool further_attempt = false;
  /// The code of its coding group, as ModelOptions counts them.
  uint8_t unit = 0;
};

/// The client has gone: nobody waits for the answer. No AnswerQuery follows if
/// it was not emitted before; what a sibling's decode needs lives on.
struct QueryAbandoned {
  QueryId query;
};

enum class BundleRole : uint8_t { kDeployed, kParity, kBackup };

/// A bundle that a worker serves and this frontend has a use for: lineage and
/// code were checked against the configuration by the catalog.
struct ServedBundle {
  BundleKey bundle;
  ModelId model;
  BundleRole role;
  /// kParity: the deployed bundle it was made for. kDeployed: itself.
  BundleKey deployed;
  uint8_t parity_index = 0;
  uint8_t unit = 0;  // kParity: the code that it was made for
};

/// Queries come with this unit from now on, as it is the best buy of those that
/// are served. Until told, any bundle that fits a unit answers for it, at r
/// queries a group, or with `pack` at one for each member.
struct UnitChosen {
  ModelId model;
  uint8_t unit;
  BundleRole answered_by;  // kParity, or kBackup for `pack`
  /// Service time of a full group's parity queries, in queries; 0: not known.
  double cost = 0;
};

/// A worker said hello (again): it can take tasks. A second WorkerUp with
/// another `nonce` means that the process was restarted: what it held is lost.
struct WorkerUp {
  WorkerId worker;
  uint64_t nonce;
  uint32_t fault_domain;  // interned
  uint32_t lanes = 1;
  uint32_t max_in_flight = 1;
  absl::Span<const ServedBundle> bundles;  // valid during the call
};

/// Its connection is lost.
struct WorkerDown {
  WorkerId worker;
};

/// Its place is vacant, and may get another worker later: nothing is known of
/// it any more. Tasks that it still had are lost.
struct WorkerLeft {
  WorkerId worker;
};

/// Any sign of life; heartbeats carry the depths. A worker that holds nothing
/// (has_depths, both 0) has lost what it should have had for long.
struct WorkerHeard {
  WorkerId worker;
  bool has_depths = false;
  uint32_t queue_depth = 0;
  uint32_t in_flight = 0;
};

/// It finishes what it has and takes nothing more.
struct WorkerDraining {
  WorkerId worker;
};

struct TaskStarted {
  TaskId task;
  WorkerId worker;
};

enum class TaskStatus : uint8_t { kOk, kError, kCancelled, kExpired };

/// A terminal reply. Unknown, repeated and late ones are counted and their
/// buffer released.
struct TaskReplied {
  TaskId task;
  WorkerId worker;
  TaskStatus status;
  bool retryable = false;  // kError: may succeed elsewhere
  BufferId output{};       // kOk only
  bool decodable = true;   // right shape, datatype, every value finite
  Duration queue{0};
  Duration compute{0};
};

/// The transport refused a task that was just dispatched.
struct TaskNotSent {
  TaskId task;
  WorkerId worker;
  /// The worker is not to blame: nobody could be sent this task.
  bool unsendable = false;
};

/// The answer to EncodeParity.
struct ParityEncoded {
  GroupId group;
  uint8_t parity_index;
  bool ok;
  BufferId parity{};  // if ok
  uint64_t bytes = 0;
};

/// The answer to DecodeMember.
struct MemberDecoded {
  GroupId group;
  uint8_t member;
  bool ok;
  BufferId output{};  // if ok
  double noise_gain = 1;
  /// P(right) of the least sure sample, if the parity bundles' calibration
  /// tables tell it.
  std::optional<float> confidence;
};

/// The answer to CompareOutputs: of `compared` samples, `agreed` had the same
/// top class.
struct OutputsCompared {
  ModelId model;
  uint32_t compared;
  uint32_t agreed;
};

/// The time asked for with WakeAt has come (or any other time: harmless).
struct TimerFired {};

/// Take no new queries; answer the ones that are here.
struct DrainRequested {};

using Event =
    std::variant<QueryArrived, QueryAbandoned, WorkerUp, WorkerDown, WorkerLeft,
                 WorkerHeard, WorkerDraining, TaskStarted, TaskReplied,
                 TaskNotSent, ParityEncoded, MemberDecoded, OutputsCompared,
                 UnitChosen, TimerFired, DrainRequested>;

}  // namespace parm::core
