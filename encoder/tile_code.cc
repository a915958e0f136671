#include "encoder/tile_code.h"

#include "encoder/grid_code.h"
#include "encoder/slice_decoder.h"

namespace parm {
namespace {

bool TileTakes(int k, int r) { return k >= 2 && k <= kMaxMembers && r == 1; }

std::unique_ptr<const Code> CreateTile(const CodeSpec& spec) {
  return std::make_unique<GridCode<SliceDecoder>>(
      spec, SliceDecoder(spec.k, SliceLayout::kOwnAxis));
}

}  // namespace

const CodeScheme kTileScheme = {.name = "tile",
                                .takes = "k = 2..16 and r = 1",
                                .supports = TileTakes,
                                .create = CreateTile};

}  // namespace parm
