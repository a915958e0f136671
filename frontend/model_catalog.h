#pragma once

// Who serves what: turns the workers' Hellos into what the core needs to know,
// and remembers what each bundle looks like for validation and metadata. Roles
// are those that workers state; a parity bundle counts only for the deployed
// bundle and the code that it was made for.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "base/tensor.h"
#include "encoder/code.h"
#include "frontend/bundle_confidence.h"
#include "frontend/core/event.h"
#include "frontend/layout_table.h"
#include "proto/envelope.pb.h"
#include "proto/oip/messages.h"

namespace parm {

/// A configured model, as far as bundles matter.
struct CatalogModel {
  std::string name;
  std::vector<std::shared_ptr<const Code>> codes;  // by unit; none: not coded
  /// Of the units the best buy is used, by the figures of those that are
  /// served; else there is one.
  bool chooses_unit = false;
  double max_accuracy_drop = 0.02;  // of that choice; unit_choice.h
  /// min_confidence or floor is set: a parity bundle needs a calibration table.
  bool needs_calibration = false;
};

struct CatalogOptions {
  std::vector<CatalogModel> models;        // by ModelId
  std::vector<std::string> fault_domains;  // by WorkerId; empty: the Hello's
  std::vector<uint32_t> max_in_flight;     // by WorkerId
};

/// Of a parity or backup bundle; what is not known is not there.
struct BundleFigures {
  double cost = 0;  // of a task, in queries; 0: not known
  /// By how much an answer that is rebuilt with it is right less often than the
  /// deployed model's, at one loss.
  std::optional<double> accuracy_drop;
};

/// One bundle that a worker has told of; never forgotten.
struct CatalogBundle {
  BundleKey key{};
  std::string sha256;  // 32 bytes
  ModelId model{};
  core::BundleRole role = core::BundleRole::kDeployed;
  std::string version;
  std::vector<TensorSpec> inputs;  // -1: variable
  std::vector<TensorSpec> outputs;
  /// Dimension 0 of every input and output is variable: the batch. Without it a
  /// query is one sample of fixed layout that shares nothing with others.
  bool batched = true;
  /// As the worker that told last of a table says.
  BundleConfidence confidence;
  uint8_t unit = 0;  // kParity: the code that it was made for
  /// What the worker that told last of it says was measured.
  BundleFigures figures;
  /// Order in which workers told of them; 0 while only a lineage names it.
  uint32_t first_seen = 0;
};

/// Label `reason` of parm_bundles_refused_total.
struct CatalogCounters {
  uint64_t refused_lineage = 0;      // made for another than the current one
  uint64_t refused_code = 0;         // made for another code
  uint64_t refused_calibration = 0;  // no table, but a confidence is asked for
  uint64_t refused_shape = 0;        // no tensors, a scalar, not the code's
  uint64_t refused_limit = 0;        // more distinct bundles than remembered
  uint64_t layouts_forgotten = 0;    // more than the table holds were in use
};

/// Bounds:  kMaxBundles entries for the process's life; LayoutTable's.
/// Threads: the loop's only.
class ModelCatalog {
 public:
  static constexpr size_t kMaxBundles = 4096;

  explicit ModelCatalog(CatalogOptions options);

  /// Takes what a worker says it serves, in place of what it said before. What
  /// cannot be used is left out, counted, and logged once per bundle. The span
  /// in the result is good until the next call.
  core::WorkerUp OnHello(WorkerId worker, const wire::Hello& hello);

  /// What the core is to hear once more after OnHello: the workers of parity
  /// bundles that turned out not to fit the deployed one, which came later.
  /// The spans are good until the next call.
  std::vector<core::WorkerUp> TakeRevised();

  /// The worker's connection is gone: what it served counts no more.
  void OnLost(WorkerId worker);

  /// Whether the worker takes tasks: not while it drains or is silent.
  void SetTakesTasks(WorkerId worker, bool takes_tasks);

  /// As configured, by ModelId.
  const std::vector<CatalogModel>& models() const { return options_.models; }

  std::optional<ModelId> FindModel(absl::string_view name) const;

  /// The deployed bundle that new queries are fixed to: the one that most
  /// workers serve, of those that take tasks if any does; ties by first seen;
  /// null if none is served.
  const CatalogBundle* Current(ModelId model) const;

  /// As Current, or what it was last: what metadata tells while all are away.
  const CatalogBundle* LastKnown(ModelId model) const;

  /// Whether this worker serves Current(model).
  bool Serves(WorkerId worker, ModelId model) const;

  /// Needs: `key` came from here.
  const CatalogBundle& Get(BundleKey key) const;

  /// The layout of a query's inputs, to be coded as this unit of its model does
  /// if it has one.
  /// Needs: inputs were validated against `bundle`.
  Layout LayoutOf(const CatalogBundle& bundle,
                  absl::Span<const oip::Tensor> inputs, uint8_t unit = 0);

  /// What a worker that takes tasks serves, of this model; what several serve
  /// comes several times.
  void ForEachServed(
      ModelId model,
      absl::FunctionRef<void(const core::ServedBundle&)> visit) const;

  /// Grows with every change of what is served or by whom.
  uint64_t num_changes() const { return num_changes_; }

  const CatalogCounters& counters() const { return counters_; }

 private:
  struct Worker {
    bool takes_tasks = false;
    core::WorkerUp up{};
    std::vector<core::ServedBundle> bundles;
  };

  std::optional<core::ServedBundle> Admit(const wire::BundleInfo& info);
  bool AdmitParity(const wire::BundleInfo& info, ModelId model);
  bool AdmitBackup(const wire::BundleInfo& info, ModelId model);
  bool IsCalibrated(const wire::BundleInfo& info, ModelId model);
  // The model's unit of this code.
  std::optional<size_t> FindUnit(ModelId model, const wire::Code& code) const;
  const Code* PackOf(ModelId model) const;  // null: no unit packs
  std::string CodesOf(ModelId model) const;
  // Null beyond kMaxBundles.
  CatalogBundle* Intern(ModelId model, const std::string& sha256);
  void Refuse(const std::string& sha256, ModelId model, uint64_t* counter,
              absl::string_view reason);
  const CatalogBundle* MostServed(ModelId model, bool of_all) const;
  void WithdrawUnfit(const CatalogBundle& deployed);
  absl::Status CheckFits(const CatalogBundle& parity,
                         const CatalogBundle& deployed) const;
  void UpdateCurrent();
  void CheckLineages();

  // Constant after construction.
  const CatalogOptions options_;

  std::vector<Worker> workers_;  // by WorkerId
  // By BundleKey. Pointers, so that addresses last.
  std::vector<std::unique_ptr<CatalogBundle>> bundles_;
  std::unordered_map<std::string, BundleKey> key_by_name_;  // model, sha256
  std::unordered_map<std::string, uint32_t> fault_domains_;
  LayoutTable layouts_;
  uint64_t num_changes_ = 0;
  std::vector<const CatalogBundle*> current_;     // by ModelId
  std::vector<const CatalogBundle*> last_known_;  // by ModelId
  std::set<std::string> refused_;  // sha256 and reason, logged once each
  std::set<uint32_t> idle_;        // parities of another than the current
  std::vector<WorkerId> revised_;
  uint32_t num_described_ = 0;
  CatalogCounters counters_;
};

}  // namespace parm
