#include "parity_trainer/host_tensor.h"

#include "base/status_macros.h"

namespace parm {

HostTensor SliceRows(const HostTensor& tensor, int64_t begin, int64_t count) {
  PARM_CHECK(!tensor.shape.empty() && begin >= 0 && count >= 0 &&
             begin + count <= tensor.shape[0]);
  const size_t row_bytes =
      tensor.bytes.size() / static_cast<size_t>(tensor.shape[0]);
  HostTensor rows{.datatype = tensor.datatype, .shape = tensor.shape};
  rows.shape[0] = count;
  rows.bytes = tensor.bytes.substr(static_cast<size_t>(begin) * row_bytes,
                                   static_cast<size_t>(count) * row_bytes);
  return rows;
}

}  // namespace parm
