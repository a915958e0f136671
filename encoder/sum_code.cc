#include "encoder/sum_code.h"

#include "encoder/linear_code.h"

namespace parm {
namespace {

// Beyond eight the noise gain (k) and the loss of accuracy leave no use.
bool SumTakes(int k, int r) { return k >= 2 && k <= 8 && r == 1; }

std::unique_ptr<const Code> CreateSum(const CodeSpec& spec) {
  return std::make_unique<LinearCode>(spec, Matrix(spec.r, spec.k, 1));
}

}  // namespace

const CodeScheme kSumScheme = {.name = "sum",
                               .takes = "k = 2..8 and r = 1",
                               .supports = SumTakes,
                               .create = CreateSum};

}  // namespace parm
