#include "encoder/concat_code.h"

#include "encoder/grid_code.h"
#include "encoder/linear_decoder.h"
#include "encoder/matrix.h"

namespace parm {
namespace {

bool ConcatTakes(int k, int r) { return (k == 2 || k == 4) && r == 1; }

std::unique_ptr<const Code> CreateConcat(const CodeSpec& spec) {
  return std::make_unique<GridCode<LinearDecoder>>(
      spec, LinearDecoder(Matrix(spec.r, spec.k, 1)));
}

}  // namespace

const CodeScheme kConcatScheme = {.name = "concat",
                                  .takes = "k = 2 or 4 and r = 1",
                                  .supports = ConcatTakes,
                                  .create = CreateConcat};

}  // namespace parm
