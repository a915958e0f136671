#include "encoder/ridge_decoder.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace parm {
namespace {

absl::Status CheckOutputs(absl::string_view what,
                          absl::Span<const std::vector<float>> outputs,
                          int want_count, size_t want_size) {
  if (outputs.size() != static_cast<size_t>(want_count)) {
    return absl::InvalidArgumentError(
        absl::StrCat("number of ", what, " differs: got ", outputs.size(),
                     ", want ", want_count));
  }
  for (const std::vector<float>& output : outputs) {
    if (output.size() != want_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("sizes of ", what, " differ: got ", output.size(),
                       ", want ", want_size));
    }
    const bool is_finite = std::all_of(
        output.begin(), output.end(), [](float v) { return std::isfinite(v); });
    if (!is_finite) {
      return absl::InvalidArgumentError(
          absl::StrCat("a calibration value is not finite: among ", what));
    }
  }
  return absl::OkStatus();
}

// sums.at(i, j) += a[i] . b[j]
void AddProducts(absl::Span<const std::vector<float>> a,
                 absl::Span<const std::vector<float>> b, Matrix& sums) {
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) {
      double sum = 0;
      for (size_t v = 0; v < a[i].size(); ++v) {
        sum += double{a[i][v]} * double{b[j][v]};
      }
      sums.at(static_cast<int>(i), static_cast<int>(j)) += sum;
    }
  }
}

// Solves `matrix` * X = `right` by Cholesky's decomposition, in place: X is
// left in `right`. False if the matrix is not positive definite.
bool SolvePositiveDefinite(Matrix& matrix, Matrix& right) {
  const int n = matrix.num_rows();
  double largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, matrix.at(i, i));
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j <= i; ++j) {
      double sum = matrix.at(i, j);
      for (int m = 0; m < j; ++m) sum -= matrix.at(i, m) * matrix.at(j, m);
      if (i != j) {
        matrix.at(i, j) = sum / matrix.at(j, j);
      } else if (sum > 1e-12 * largest) {
        matrix.at(i, i) = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  for (int column = 0; column < right.num_columns(); ++column) {
    for (int i = 0; i < n; ++i) {
      for (int m = 0; m < i; ++m) {
        right.at(i, column) -= matrix.at(i, m) * right.at(m, column);
      }
      right.at(i, column) /= matrix.at(i, i);
    }
    for (int i = n - 1; i >= 0; --i) {
      for (int m = i + 1; m < n; ++m) {
        right.at(i, column) -= matrix.at(m, i) * right.at(m, column);
      }
      right.at(i, column) /= matrix.at(i, i);
    }
  }
  return true;
}

}  // namespace

RidgeDecoder::RidgeDecoder(int k, int num_workers)
    : k_(k),
      num_workers_(num_workers),
      gram_(num_workers, num_workers),
      cross_(num_workers, k) {
  PARM_CHECK(k >= 1 && k <= BerrutCode::kMaxWorkers);
  PARM_CHECK(num_workers >= 1 && num_workers <= BerrutCode::kMaxWorkers);
}

absl::Status RidgeDecoder::Add(
    absl::Span<const std::vector<float>> coded_outputs,
    absl::Span<const std::vector<float>> outputs) {
  const size_t size = coded_outputs.empty() ? 0 : coded_outputs[0].size();
  PARM_RETURN_IF_ERROR(
      CheckOutputs("coded outputs", coded_outputs, num_workers_, size));
  PARM_RETURN_IF_ERROR(CheckOutputs("outputs", outputs, k_, size));
  AddProducts(coded_outputs, coded_outputs, gram_);
  AddProducts(coded_outputs, outputs, cross_);
  num_values_ += static_cast<int64_t>(size);
  return absl::OkStatus();
}

absl::StatusOr<Matrix> RidgeDecoder::Fit(WorkerMask answered,
                                         double ridge) const {
  if (!(ridge >= 0) || !std::isfinite(ridge)) {
    return absl::InvalidArgumentError(
        absl::StrCat("ridge is out of range: got ", ridge, ", want >= 0"));
  }
  std::vector<int> workers;
  double energy = 0;
  for (int worker = 0; worker < num_workers_; ++worker) {
    if (((answered >> worker) & 1U) == 0) continue;
    workers.push_back(worker);
    energy += gram_.at(worker, worker);
  }
  if (workers.empty() || num_values_ == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("nothing to fit a decoder from: ", workers.size(),
                     " workers answered, over ", num_values_, " values"));
  }
  const int n = static_cast<int>(workers.size());
  Matrix gram(n, n);
  Matrix solution(n, k_);
  for (int i = 0; i < n; ++i) {
    const int from = workers[static_cast<size_t>(i)];
    for (int j = 0; j < n; ++j) {
      gram.at(i, j) = gram_.at(from, workers[static_cast<size_t>(j)]);
    }
    gram.at(i, i) += ridge * energy / n;
    for (int j = 0; j < k_; ++j) solution.at(i, j) = cross_.at(from, j);
  }
  if (!SolvePositiveDefinite(gram, solution)) {
    return absl::FailedPreconditionError(
        "the calibration outputs do not determine a decoder: raise ridge or "
        "add groups");
  }
  Matrix decode(k_, num_workers_);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < k_; ++j) {
      decode.at(j, workers[static_cast<size_t>(i)]) = solution.at(i, j);
    }
  }
  return decode;
}

}  // namespace parm
