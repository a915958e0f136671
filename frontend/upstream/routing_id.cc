#include "frontend/upstream/routing_id.h"

#include <cstring>

namespace parm {
namespace {

constexpr char kPrefix = 'W';
constexpr size_t kSize = 1 + 2 * sizeof(uint32_t);

}  // namespace

std::string EncodeRoutingId(WorkerId worker, uint32_t generation) {
  // Only this process reads it, so its byte order does not matter.
  std::string bytes(kSize, kPrefix);
  const uint32_t index = Raw(worker);
  std::memcpy(bytes.data() + 1, &index, sizeof(index));
  std::memcpy(bytes.data() + 1 + sizeof(index), &generation,
              sizeof(generation));
  return bytes;
}

std::optional<RoutingId> DecodeRoutingId(absl::string_view bytes) {
  if (bytes.size() != kSize || bytes[0] != kPrefix) return std::nullopt;
  uint32_t index = 0;
  RoutingId id;
  std::memcpy(&index, bytes.data() + 1, sizeof(index));
  std::memcpy(&id.generation, bytes.data() + 1 + sizeof(index),
              sizeof(id.generation));
  id.worker = WorkerId{index};
  return id;
}

}  // namespace parm
