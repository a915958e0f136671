#include "parity_trainer/augmentation.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"

namespace parm {
namespace {

struct Plane {
  int64_t height = 0;
  int64_t width = 0;
  size_t element_bytes = 0;

  size_t RowBytes() const { return static_cast<size_t>(width) * element_bytes; }
};

/// Row `from` of a plane moved right by `shift`, mirrored first if asked.
void MoveRow(const Plane& plane, const char* from, int64_t shift, bool mirror,
             char* to) {
  for (int64_t column = 0; column < plane.width; ++column) {
    int64_t source = column - shift;
    if (source < 0 || source >= plane.width) continue;
    if (mirror) source = plane.width - 1 - source;
    std::memcpy(to + static_cast<size_t>(column) * plane.element_bytes,
                from + static_cast<size_t>(source) * plane.element_bytes,
                plane.element_bytes);
  }
}

}  // namespace

absl::Status CheckAugmentation(const Augmentation& augmentation,
                               absl::Span<const int64_t> sample_shape) {
  if (augmentation.empty()) return absl::OkStatus();
  if (sample_shape.size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat(
        "only pictures can be shifted or mirrored: got samples of ",
        ShapeToString(sample_shape), ", want [channels,height,width]"));
  }
  const int64_t side = std::min(sample_shape[1], sample_shape[2]);
  if (augmentation.shift < 0 || augmentation.shift >= side) {
    return absl::InvalidArgumentError(
        absl::StrCat("shift is out of range: got ", augmentation.shift,
                     ", want 0 to ", side - 1, " pixels"));
  }
  return absl::OkStatus();
}

void Augment(const Augmentation& augmentation, uint64_t seed,
             HostTensor* samples) {
  if (augmentation.empty()) return;
  const Plane plane = {.height = samples->shape[2],
                       .width = samples->shape[3],
                       .element_bytes = DataTypeSize(samples->datatype)};
  const size_t plane_bytes =
      static_cast<size_t>(plane.height) * plane.RowBytes();
  std::mt19937_64 random(seed);
  const auto span = static_cast<uint64_t>(2 * augmentation.shift + 1);
  std::string moved;
  for (int64_t sample = 0; sample < samples->shape[0]; ++sample) {
    const int64_t down =
        static_cast<int64_t>(random() % span) - augmentation.shift;
    const int64_t right =
        static_cast<int64_t>(random() % span) - augmentation.shift;
    const bool mirror = augmentation.mirror && (random() >> 63) != 0;
    if (down == 0 && right == 0 && !mirror) continue;
    for (int64_t channel = 0; channel < samples->shape[1]; ++channel) {
      char* const pixels =
          samples->bytes.data() +
          static_cast<size_t>(sample * samples->shape[1] + channel) *
              plane_bytes;
      moved.assign(plane_bytes, '\0');
      for (int64_t row = 0; row < plane.height; ++row) {
        const int64_t source = row - down;
        if (source < 0 || source >= plane.height) continue;
        MoveRow(plane, pixels + static_cast<size_t>(source) * plane.RowBytes(),
                right, mirror,
                moved.data() + static_cast<size_t>(row) * plane.RowBytes());
      }
      std::memcpy(pixels, moved.data(), plane_bytes);
    }
  }
}

}  // namespace parm
