#pragma once

// Mean and spread of raw values: what a network's own normalisation is made of.

#include "absl/strings/string_view.h"
#include "base/tensor.h"

namespace parm {

struct Moments {
  double mean = 0;
  double deviation = 1;  // standard deviation; never 0
};

/// Unit:  the values' own.
/// Needs: datatype is kUint8 or kFp32; there is at least one value.
Moments MomentsOf(DataType datatype, absl::string_view bytes);

}  // namespace parm
