#pragma once

// What a server counted of one model, as Triton's extension `statistics` says
// it. Whoever serves fills in what it knows; what it does not measure stays 0.

#include <cstdint>
#include <string>

namespace parm::oip {

/// How often, and how long all together.
struct DurationTotal {
  uint64_t count = 0;
  uint64_t ns = 0;

  DurationTotal& operator+=(const DurationTotal& other) {
    count += other.count;
    ns += other.ns;
    return *this;
  }
};

struct ModelStatistics {
  std::string name;
  std::string version;
  uint64_t last_inference_ms = 0;  // since 1970; 0: none yet
  uint64_t inferences = 0;         // samples answered
  uint64_t executions = 0;         // of the model, however many samples each
  DurationTotal success;
  DurationTotal fail;
  DurationTotal queue;
  DurationTotal compute_input;
  DurationTotal compute_infer;
  DurationTotal compute_output;
};

}  // namespace parm::oip
