#include "frontend/unit_chooser.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "base/tensor.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using core::BundleRole;

// Of the bundles that may answer one parity query: the core picks one of them,
// so the dearest and the least accurate count.
struct Worst {
  bool served = false;
  bool cost_known = true;
  bool drop_known = true;
  double cost = 0;
  double drop = -1;

  void Add(const BundleFigures& figures) {
    served = true;
    cost_known &= figures.cost > 0;
    cost = std::max(cost, figures.cost);
    drop_known &= figures.accuracy_drop.has_value();
    drop = std::max(drop, figures.accuracy_drop.value_or(-1));
  }
};

// Of a full group's parity query, for one sample; 0: not known. nullopt: the
// code does not take what the deployed model does.
std::optional<double> ParityBytes(const Code& code,
                                  const CatalogBundle& deployed) {
  if (deployed.inputs.size() != 1 || deployed.outputs.size() != 1) {
    return std::nullopt;
  }
  TensorSpec input = deployed.inputs[0];
  TensorSpec output = deployed.outputs[0];
  input.shape[0] = output.shape[0] = 1;
  const auto is_variable = [](int64_t dimension) { return dimension < 0; };
  if (std::any_of(input.shape.begin(), input.shape.end(), is_variable)) {
    return 0;
  }
  const absl::StatusOr<TensorSpec> query =
      code.ParityQuerySpec(input, code.spec().k);
  if (!query.ok() || !code.ParityOutputSpec(output).ok()) return std::nullopt;
  const absl::StatusOr<int64_t> bytes = NumBytes(query->datatype, query->shape);
  return bytes.ok() ? static_cast<double>(*bytes) : 0;
}

const char* NameOf(BundleRole role) {
  return role == BundleRole::kBackup ? "backups" : "parity bundles";
}

}  // namespace

UnitChooser::UnitChooser(const ModelCatalog& catalog)
    : catalog_(catalog),
      chosen_(catalog.models().size()),
      told_beyond_(catalog.models().size()) {
  for (size_t i = 0; i < chosen_.size(); ++i) {
    chosen_[i].model = ModelId{static_cast<uint32_t>(i)};
  }
}

std::vector<const CodeSpec*> UnitChooser::Specs() const {
  std::vector<const CodeSpec*> specs;
  for (size_t i = 0; i < chosen_.size(); ++i) {
    const auto& codes = catalog_.models()[i].codes;
    specs.push_back(codes.empty() ? nullptr : &codes[chosen_[i].unit]->spec());
  }
  return specs;
}

const std::vector<core::UnitChosen>& UnitChooser::Update() {
  news_.clear();
  if (std::exchange(seen_changes_, catalog_.num_changes()) ==
      catalog_.num_changes()) {
    return news_;
  }
  for (const core::UnitChosen& chosen : chosen_) {
    if (catalog_.models()[Raw(chosen.model)].chooses_unit) Choose(chosen.model);
  }
  return news_;
}

std::optional<UnitFigures> UnitChooser::FiguresOf(
    ModelId model, const Candidate& candidate) const {
  const Code& code = *catalog_.models()[Raw(model)].codes[candidate.unit];
  const CatalogBundle& deployed = *catalog_.Current(model);
  const bool backup = candidate.role == BundleRole::kBackup;
  if (backup && code.spec().scheme != "pack") return std::nullopt;
  std::array<Worst, kMaxParities> tasks;
  catalog_.ForEachServed(model, [&](const core::ServedBundle& served) {
    if (served.role != candidate.role ||
        (!backup &&
         (served.unit != candidate.unit || served.deployed != deployed.key))) {
      return;
    }
    tasks[served.parity_index].Add(catalog_.Get(served.bundle).figures);
  });
  const int k = code.spec().k;
  const int r = code.spec().r;
  // A backup's cost is that of one query, and k of them lie side by side.
  const double queries = backup ? k : 1;
  UnitFigures figures = {.k = k, .cover = code.multi_output() ? k : r};
  bool cost_known = true;
  bool drop_known = true;
  double drop = -1;
  for (int i = 0; i < r; ++i) {
    const Worst& task = tasks[static_cast<size_t>(i)];
    if (!task.served) return std::nullopt;
    cost_known &= task.cost_known;
    figures.cost += task.cost * queries;
    drop_known &= task.drop_known;
    drop = std::max(drop, task.drop);
  }
  if (!cost_known) figures.cost = 0;
  if (drop_known) figures.accuracy_drop = drop;
  const std::optional<double> bytes = ParityBytes(code, deployed);
  if (!bytes.has_value()) return std::nullopt;
  figures.bytes = *bytes * r / k;
  return figures;
}

void UnitChooser::Choose(ModelId model) {
  if (catalog_.Current(model) == nullptr) return;
  const CatalogModel& configured = catalog_.models()[Raw(model)];
  std::vector<Candidate> candidates;
  std::vector<UnitFigures> figures;
  for (size_t unit = 0; unit < configured.codes.size(); ++unit) {
    for (const BundleRole role : {BundleRole::kParity, BundleRole::kBackup}) {
      const Candidate candidate = {.unit = static_cast<uint8_t>(unit),
                                   .role = role};
      if (const auto known = FiguresOf(model, candidate)) {
        candidates.push_back(candidate);
        figures.push_back(*known);
      }
    }
  }
  const std::optional<UnitVerdict> verdict =
      ChooseUnit(figures, configured.max_accuracy_drop);
  if (!verdict.has_value()) return;
  const Candidate& best = candidates[verdict->position];
  const UnitFigures& of_best = figures[verdict->position];
  core::UnitChosen& chosen = chosen_[Raw(model)];
  const auto& drop = of_best.accuracy_drop;
  const bool beyond = drop > configured.max_accuracy_drop;
  const bool same =
      told_beyond_[Raw(model)] == beyond && chosen.unit == best.unit &&
      chosen.answered_by == best.role && chosen.cost == of_best.cost;
  if (same) return;
  told_beyond_[Raw(model)] = beyond;
  chosen.unit = best.unit;
  chosen.answered_by = best.role;
  chosen.cost = of_best.cost;
  news_.push_back(chosen);
  spdlog::log(
      beyond ? spdlog::level::warn : spdlog::level::info,
      "model '{}' uses {} of {}, {} (of {} units): {} queries of extra work "
      "for each query, accuracy drop {}",
      configured.name, ToString(configured.codes[best.unit]->spec()),
      NameOf(best.role), std::string(NameOf(verdict->reason)),
      candidates.size(),
      of_best.cost > 0 ? absl::StrFormat("%.3f", of_best.cost_per_query())
                       : "unknown",
      drop ? absl::StrFormat("%.4f", *drop) : "unknown");
}

}  // namespace parm
