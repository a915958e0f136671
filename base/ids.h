#pragma once

// Ids are types of their own, so that one cannot be passed for another.

#include <cstdint>
#include <type_traits>

namespace parm {

/// One client request, unique per frontend start.
enum class QueryId : uint64_t {};
/// One task sent to one worker, unique per frontend start; on the wire.
enum class TaskId : uint64_t {};
/// One coding group, unique per frontend start.
enum class GroupId : uint64_t {};
/// A tensor set held by the frontend loop; 0 is none.
enum class BufferId : uint32_t {};
/// A configured worker endpoint, by position; stable while the process runs.
enum class WorkerId : uint32_t {};
/// A configured model, by position.
enum class ModelId : uint32_t {};
/// What seeded draws of pace and faults are keyed by, besides the worker: the
/// query and copy that a task carries; on the wire. 0 is none.
enum class Luck : uint64_t {};
/// A distinct bundle sha256 seen by this frontend, interned.
enum class BundleKey : uint32_t {};

template <typename Id>
constexpr auto Raw(Id id) {
  return static_cast<std::underlying_type_t<Id>>(id);
}

}  // namespace parm
