#pragma once

// How many live queries of a model are written down for parm-train: section
// `capture` of a model in frontend.yaml. Off unless a directory is named.

#include <cstdint>
#include <string>

namespace parm {

struct CaptureOptions {
  std::string directory;  // empty: nothing is captured
  /// The two bounds cover what earlier runs left in the directory. Queries of
  /// several rows count as so many; bytes are those of tensors.
  uint64_t max_queries = 10'000;
  uint64_t max_bytes = uint64_t{1} << 30;
  double max_per_second = 100;
  double sample = 0.01;  // share of the queries
  uint64_t seed = 1;

  bool operator==(const CaptureOptions&) const = default;
};

/// One configured model.
struct CaptureModel {
  std::string name;
  CaptureOptions options;

  bool operator==(const CaptureModel&) const = default;
};

}  // namespace parm
