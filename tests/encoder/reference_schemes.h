#pragma once

// What the contract test knows about each scheme: in float64, what a parity
// query holds, and what an ideal parity model answers to it. A later scheme
// adds one entry to the table in reference_schemes.cc.

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "encoder/code.h"
#include "tests/encoder/owned_tensor.h"

namespace parm {

/// The model F: each sample of a batch, flattened, times a matrix. It has no
/// bias, so that F(X0 + X1) = F(X0) + F(X1) holds exactly in float64.
class LinearModel {
 public:
  LinearModel(uint32_t seed, int64_t num_features, int64_t num_classes);

  /// [batch, ...] to [batch, num_classes], FP32.
  OwnedTensor Run(const OwnedTensor& batch) const { return Run(batch, 1); }
  /// The same, times `scale`.
  OwnedTensor Run(const OwnedTensor& batch, double scale) const;

  /// By how much an error of 1 in every input may change an output.
  double MaxRowAbsSum() const;

 private:
  int64_t num_features_;
  int64_t num_classes_;
  std::vector<double> weights_;
};

/// One scheme, seen from the contract.
struct ReferenceScheme {
  std::string scheme;
  /// Of members; FP32 is always tried.
  std::vector<DataType> datatypes;
  /// Of one sample of a member.
  std::vector<int64_t> sample_shape;
  /// What the deployed model looks at of a member; nullptr: all of it. A model
  /// that sees only what a scheme keeps is one that has an ideal parity model.
  OwnedTensor (*seen)(const CodeSpec& spec,
                      const OwnedTensor& member) = nullptr;
  /// Of an encoded value, relative to the sum of magnitudes added up in it,
  /// beside what rounding to 16 bits does.
  double encode_tolerance = 0;

  /// The values of parity query `parity_index`.
  std::vector<double> (*encode)(const CodeSpec& spec, int parity_index,
                                const std::vector<OwnedTensor>& members);
  /// Sum of magnitudes behind those values.
  std::vector<double> (*magnitude)(const CodeSpec& spec, int parity_index,
                                   const std::vector<OwnedTensor>& members);
  /// What an ideal parity model answers to `parity`. `members` are there for
  /// schemes whose query does not hold all that the answer needs.
  OwnedTensor (*answer)(const CodeSpec& spec, int parity_index,
                        const OwnedTensor& parity,
                        const std::vector<OwnedTensor>& members,
                        const LinearModel& model);
  /// By how much rounding of the query's values may change an answer, in units
  /// of LinearModel::MaxRowAbsSum.
  double (*answer_rounding)(const CodeSpec& spec, DataType datatype);
};

/// nullptr if the table has no such scheme.
const ReferenceScheme* FindReference(const std::string& scheme);

}  // namespace parm
