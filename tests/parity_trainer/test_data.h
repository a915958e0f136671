#pragma once

// Small data sets on disk for the trainer's tests: pictures whose bright row
// tells the class, so that a few steps of training learn them.

#include <cstdint>
#include <string>
#include <vector>

namespace parm {

inline constexpr int64_t kSide = 8;
inline constexpr int64_t kClasses = 4;

/// Bytes of an IDX file: magic, big-endian dimensions, values.
std::string IdxBytes(const std::vector<int64_t>& shape,
                     const std::string& values);

/// `count` pictures [kSide, kSide], their classes in turn, noise from `seed`.
std::string Pictures(int64_t count, uint64_t seed);
std::string Labels(int64_t count);

/// The four files of an "idx:DIR" source, plain.
void WriteIdxData(const std::string& directory, int64_t num_train,
                  int64_t num_test);

/// The four files of an "npy:DIR" source: FP32 pictures [1, kSide, kSide].
void WriteNpyData(const std::string& directory, int64_t num_train,
                  int64_t num_test);

}  // namespace parm
