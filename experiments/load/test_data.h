#pragma once

// What the load generator sends and how it knows which answers are right: the
// images and labels of a test set, and the deployed model's own answers to it.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parm {

/// Images of one channel, row-major, with a label each.
struct TestData {
  int64_t num_samples = 0;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;  // [num_samples, height, width]
  std::vector<uint8_t> labels;  // [num_samples]
};

/// Reads t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or with .gz,
/// as MNIST and Fashion-MNIST are published.
/// Errors: kNotFound if a file is missing; kDataLoss if one is cut short or
/// the counts differ; kInvalidArgument if one is not IDX, has another number of
/// dimensions, or is above 1 GiB.
absl::StatusOr<TestData> LoadIdxTestData(const std::string& directory);

/// The class with the largest output for each row of an .npy file of float32
/// [samples, classes], as `parm-train evaluate --logits` writes it.
/// Errors: kNotFound; kDataLoss if it is cut short; kInvalidArgument for
/// anything but such an array, and above 1 GiB.
absl::StatusOr<std::vector<int>> LoadReferenceClasses(const std::string& path);

/// Position of the largest value; the first of equals, -1 if there is none.
/// A NaN is never the largest.
int ArgMax(const float* values, size_t size);

}  // namespace parm
