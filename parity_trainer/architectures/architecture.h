#pragma once

// The networks that this program can build itself, as TorchScript modules: one
// small file each, and one registry. A user's own TorchScript file needs none.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace torch::jit {
struct Module;
}

namespace parm {

/// What a network must fit. Its wire input is [batch, sample_shape...]; it
/// computes wire * input_scale + input_shift itself, so that nobody else needs
/// to know its normalisation; it answers logits [batch, num_outputs].
struct NetworkSpec {
  std::vector<int64_t> sample_shape;
  int64_t num_outputs = 0;
  double input_scale = 1;
  double input_shift = 0;
  /// Of pictures whose channels differ: then times, plus one value per channel.
  /// Both empty, or both as many as channels.
  std::vector<double> channel_scale;
  std::vector<double> channel_shift;
  /// With several heads, one per member of a coding group, the answer is
  /// [num_heads, batch, num_outputs].
  int64_t num_heads = 0;
  /// Members lie in the picture as a grid, whose rows and columns divide its
  /// sides: head i sees cell i alone, row by row. 1 x 1: every head sees the
  /// whole.
  int64_t grid_rows = 1;
  int64_t grid_columns = 1;
  /// Layers do not halve a side that the grid made shorter already, so that
  /// cells keep the resolution of whole samples from then on.
  bool keep_resolution = false;
  /// Share of the channels, in (0, 1]: narrower networks for `pack`.
  double width = 1;
};

/// Names of all architectures, in a fixed order.
std::vector<std::string> ArchitectureNames();

/// Builds a network in training mode with random weights, drawn from torch's
/// seeded generator.
/// Errors: kInvalidArgument for an unknown name (it lists the known ones) or a
/// sample shape that the architecture cannot take.
absl::StatusOr<torch::jit::Module> BuildArchitecture(absl::string_view name,
                                                     const NetworkSpec& spec);

/// Copies every parameter and buffer of `source` whose name and shape `network`
/// has too, and one head of `source` to each of several heads; the number of
/// those copied.
int CopyMatchingState(const torch::jit::Module& source,
                      torch::jit::Module* network);

}  // namespace parm
