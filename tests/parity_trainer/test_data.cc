#include "tests/parity_trainer/test_data.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "parity_trainer/npy.h"
#include "tests/support/scratch_directory.h"

namespace parm {

std::string IdxBytes(const std::vector<int64_t>& shape,
                     const std::string& values) {
  std::string bytes("\0\0\x08", 3);
  bytes.push_back(static_cast<char>(shape.size()));
  for (const int64_t dimension : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<char>(dimension >> shift & 0xFF));
    }
  }
  return bytes + values;
}

std::string Pictures(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string values;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t row = 0; row < kSide; ++row) {
      const uint64_t base = row / 2 == i % kClasses ? 180 : 20;
      for (int64_t column = 0; column < kSide; ++column) {
        values.push_back(static_cast<char>(base + random() % 60));
      }
    }
  }
  return values;
}

std::string Labels(int64_t count) {
  std::string labels;
  for (int64_t i = 0; i < count; ++i) {
    labels.push_back(static_cast<char>(i % kClasses));
  }
  return labels;
}

void WriteIdxData(const std::string& directory, int64_t num_train,
                  int64_t num_test) {
  uint64_t seed = 1;
  for (const auto& [name, count] :
       {std::pair{"train", num_train}, std::pair{"t10k", num_test}}) {
    const std::string prefix = absl::StrCat(directory, "/", name);
    WriteFile(prefix + "-images-idx3-ubyte",
              IdxBytes({count, kSide, kSide}, Pictures(count, seed++)));
    WriteFile(prefix + "-labels-idx1-ubyte", IdxBytes({count}, Labels(count)));
  }
}

void WriteNpyData(const std::string& directory, int64_t num_train,
                  int64_t num_test) {
  uint64_t seed = 1;
  for (const auto& [name, count] :
       {std::pair{"train", num_train}, std::pair{"test", num_test}}) {
    HostTensor samples{.datatype = DataType::kFp32,
                       .shape = {count, 1, kSide, kSide}};
    for (const char pixel : Pictures(count, seed++)) {
      const float value = static_cast<float>(static_cast<uint8_t>(pixel));
      samples.bytes.append(reinterpret_cast<const char*>(&value),
                           sizeof(value));
    }
    const std::string prefix = absl::StrCat(directory, "/", name);
    WriteFile(prefix + "_x.npy", SerializeNpy(samples));
    WriteFile(prefix + "_y.npy", SerializeNpy({.datatype = DataType::kUint8,
                                               .shape = {count},
                                               .bytes = Labels(count)}));
  }
}

}  // namespace parm
