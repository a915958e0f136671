#pragma once

// What the tests of the load generator send, whatever the protocol, and what
// their servers answer.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "experiments/bench/null_server.h"
#include "experiments/load/load_generator.h"
#include "experiments/load/test_data.h"

namespace parm {

/// Ten images of 2 x 2; the first pixel of image i is its label, i.
inline TestData TenImages() {
  TestData data{.num_samples = 10, .height = 2, .width = 2};
  for (uint8_t i = 0; i < 10; ++i) {
    data.pixels.insert(data.pixels.end(), {i, 200, 201, 202});
    data.labels.push_back(i);
  }
  return data;
}

inline float FirstPixel(absl::Span<const std::byte> tensor) {
  float value = 0;
  std::memcpy(&value, tensor.data(), sizeof(value));
  return value;
}

/// An error for image 1, silence for 2, a hang-up for 3, an answer with a
/// strange source for 4, and a good one for the others.
inline NullAnswer TroubledAnswer(absl::Span<const std::byte> tensor) {
  switch (static_cast<int>(FirstPixel(tensor))) {
    case 1:
      return {.status = 503};
    case 2:
      return {.kind = NullAnswer::Kind::kSilence};
    case 3:
      return {.kind = NullAnswer::Kind::kHangUp};
    case 4:
      return {.source = "guessed"};
    default:
      return {};
  }
}

inline RunEntry EntryOf(const LoadReport& report) {
  RunEntry entry;
  report.FillEntry(&entry);
  return entry;
}

}  // namespace parm
