#pragma once

// The one interface of every erasure code over predictions: how k member
// queries become a parity query, which outputs suffice to rebuild a missing
// prediction, and how it is rebuilt. The frontend's group builder encodes with
// it, its resolver asks what suffices, the trainer encodes with the very same
// function, rounding included.
//
//   members X0 .. X(k-1)  --Encode-->  parity queries P0 .. P(r-1)
//   outputs F(X0) .. F(X(k-1)), FP0(P0) ..  --Decode-->  the missing F(Xj)
//
// Output slots: 0 .. k-1 are the members, k .. k+r-1 the parities.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"

namespace parm {

/// Names a code as configurations and manifests do.
struct CodeSpec {
  std::string scheme;
  int k = 0;
  int r = 1;

  bool operator==(const CodeSpec&) const = default;
};

/// "sum k=2 r=1", for messages.
std::string ToString(const CodeSpec& spec);

/// Bit i set: the output in slot i is here.
using ArrivalMask = uint32_t;

inline constexpr int kMaxMembers = 16;
inline constexpr int kMaxParities = 4;

/// How trustworthy a decode is, as far as the code knows.
struct DecodeReport {
  /// The slots whose outputs it is made of: never one that did not arrive. A
  /// full group's decode leaves no parity out that arrived.
  ArrivalMask used = 0;
  /// Max row abs sum of the decode matrix: by how much errors of the outputs
  /// used may be amplified. 1 for multi-output codes.
  double noise_gain = 1;
};

/// Threads: const methods may run on any thread at once.
class Code {
 public:
  virtual ~Code() = default;

  const CodeSpec& spec() const { return spec_; }

  /// True if a parity answer holds one slice per member, so that a decode waits
  /// for no sibling.
  virtual bool multi_output() const = 0;

  /// Whether a parity query mixes its members, so that how well one is rebuilt
  /// depends on the others; if not, each has its own place on the batch axis
  /// and is answered by itself.
  virtual bool mixes_members() const = 0;

  /// Whether a group of fewer than k members can be encoded and decoded; else
  /// it is left unprotected.
  virtual bool supports_short_groups() const = 0;

  /// The parity query for members of this spec. All members of a group share
  /// datatype and shape; dimension 0 is the batch.
  /// Errors: kInvalidArgument, saying what the scheme expects, for a datatype
  /// or shape it cannot code or num_members outside 1..k.
  virtual absl::StatusOr<TensorSpec> ParityQuerySpec(const TensorSpec& member,
                                                     int num_members) const = 0;

  /// Writes parity query `parity_index`.
  /// Shape:  members: 1..k tensors of one datatype and shape; parity: as
  ///         ParityQuerySpec says. A short group is padded by the scheme.
  /// Errors: kInvalidArgument if shapes, datatypes or sizes differ from that,
  ///         or parity_index is outside 0..r-1; parity is then unspecified.
  virtual absl::Status Encode(int parity_index,
                              absl::Span<const TensorView> members,
                              MutableTensorView parity) const = 0;

  /// Whether the arrived outputs suffice to rebuild member `lost`.
  /// Needs: 0 <= lost < num_members <= k. The bit of `lost` itself is ignored.
  virtual bool Suffices(int num_members, ArrivalMask arrived,
                        int lost) const = 0;

  /// Rebuilds the output of member `lost`.
  /// Shape:  outputs has k + r slots (nullopt: missing; slots num_members..k-1
  ///         are ignored); member outputs [batch, ...]; parity outputs as the
  ///         scheme's model answers; result: [batch, ...], FP32.
  /// Unit:   raw logits, never softmax.
  /// Errors: kFailedPrecondition if they do not suffice; kInvalidArgument if
  ///         shapes or datatypes do not fit; kDataLoss if a value used is not
  ///         finite. `result` is then unspecified.
  virtual absl::StatusOr<DecodeReport> Decode(
      int num_members, absl::Span<const std::optional<TensorView>> outputs,
      int lost, MutableTensorView result) const = 0;

  /// Shape of the parity model's output for member outputs of `member_output`
  /// and a full group.
  /// Errors: kInvalidArgument for a datatype other than FP32.
  virtual absl::StatusOr<TensorSpec> ParityOutputSpec(
      const TensorSpec& member_output) const = 0;

 protected:
  explicit Code(CodeSpec spec) : spec_(std::move(spec)) {}

 private:
  const CodeSpec spec_;
};

/// Whether a scheme of this name exists and takes this k and r.
bool Supports(const CodeSpec& spec);

/// Errors: kInvalidArgument, naming the known schemes or the k and r that the
/// scheme takes.
absl::StatusOr<std::unique_ptr<const Code>> CreateCode(const CodeSpec& spec);

/// Names of all schemes, in a fixed order.
std::vector<std::string> CodeSchemes();

}  // namespace parm
