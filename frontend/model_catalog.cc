#include "frontend/model_catalog.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "proto/wire_codec.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

// Fault domains are few; beyond this, workers share the last one.
constexpr size_t kMaxFaultDomains = 65'536;

std::string ShortHex(absl::string_view sha256) {
  return absl::BytesToHexString(sha256.substr(0, 6));
}

bool SameCode(const wire::Code& code, const CodeSpec& spec) {
  return code.scheme() == spec.scheme &&
         code.k() == static_cast<uint32_t>(spec.k) &&
         code.r() == static_cast<uint32_t>(spec.r);
}

// Inputs and outputs exist, are named, and none is a scalar.
bool UsableSpecs(const std::vector<TensorSpec>& specs) {
  return !specs.empty() &&
         std::all_of(specs.begin(), specs.end(), [](const TensorSpec& spec) {
           return !spec.name.empty() && !spec.shape.empty();
         });
}

bool Batched(const std::vector<TensorSpec>& specs) {
  return std::all_of(specs.begin(), specs.end(), [](const TensorSpec& spec) {
    return spec.shape.at(0) < 0;
  });
}

// Equal where both are fixed.
bool Compatible(const TensorSpec& got, const TensorSpec& want) {
  return got.datatype == want.datatype &&
         std::equal(got.shape.begin(), got.shape.end(), want.shape.begin(),
                    want.shape.end(), [](int64_t a, int64_t b) {
                      return a == b || a < 0 || b < 0;
                    });
}

std::vector<TensorSpec> Specs(
    const google::protobuf::RepeatedPtrField<wire::TensorSpec>& specs) {
  std::vector<TensorSpec> out;
  for (const wire::TensorSpec& spec : specs) {
    out.push_back(wire::FromWire(spec));
  }
  return out;
}

BundleFigures FiguresOf(const wire::BundleInfo& info) {
  BundleFigures figures = {.cost = info.relative_cost()};
  if (info.deployed_accuracy() > 0 && !info.degraded_accuracy().empty()) {
    figures.accuracy_drop =
        info.deployed_accuracy() - info.degraded_accuracy(0);
  }
  return figures;
}

uint32_t InternText(const std::string& text, size_t limit,
                    std::unordered_map<std::string, uint32_t>* table) {
  const auto found = table->find(text);
  if (found != table->end()) return found->second;
  if (table->size() >= limit) return 0;
  const auto id = static_cast<uint32_t>(table->size()) + 1;
  table->emplace(text, id);
  return id;
}

}  // namespace

ModelCatalog::ModelCatalog(CatalogOptions options)
    : options_(std::move(options)),
      workers_(options_.max_in_flight.size()),
      current_(options_.models.size()),
      last_known_(options_.models.size()) {
  PARM_CHECK(options_.fault_domains.size() == options_.max_in_flight.size());
}

core::WorkerUp ModelCatalog::OnHello(WorkerId worker,
                                     const wire::Hello& hello) {
  Worker& entry = workers_.at(Raw(worker));
  ++num_changes_;
  entry.takes_tasks = true;
  entry.bundles.clear();
  for (const wire::BundleInfo& info : hello.bundles()) {
    const std::optional<core::ServedBundle> served = Admit(info);
    if (served.has_value()) entry.bundles.push_back(*served);
  }
  UpdateCurrent();
  CheckLineages();
  const std::string& configured = options_.fault_domains[Raw(worker)];
  std::string domain = configured.empty() ? hello.fault_domain() : configured;
  if (domain.empty()) domain = absl::StrCat("worker ", Raw(worker));
  entry.up = {
      .worker = worker,
      .nonce = hello.instance_nonce(),
      .fault_domain = InternText(domain, kMaxFaultDomains, &fault_domains_),
      .lanes = std::max(1U, hello.lanes()),
      .max_in_flight = options_.max_in_flight[Raw(worker)],
      .bundles = entry.bundles};
  return entry.up;
}

void ModelCatalog::OnLost(WorkerId worker) {
  Worker& entry = workers_.at(Raw(worker));
  ++num_changes_;
  entry.takes_tasks = false;
  entry.bundles.clear();
  UpdateCurrent();
  CheckLineages();
}

void ModelCatalog::SetTakesTasks(WorkerId worker, bool takes_tasks) {
  Worker& entry = workers_.at(Raw(worker));
  if (entry.takes_tasks == takes_tasks) return;
  ++num_changes_;
  entry.takes_tasks = takes_tasks;
  UpdateCurrent();
  CheckLineages();
}

std::optional<core::ServedBundle> ModelCatalog::Admit(
    const wire::BundleInfo& info) {
  const std::optional<ModelId> model = FindModel(info.model());
  // A pool may serve models of other frontends too.
  if (!model.has_value()) return std::nullopt;
  const bool parity = info.role() == wire::PARITY;
  const bool backup = info.role() == wire::BACKUP;
  if (!parity && !backup && info.role() != wire::DEPLOYED) return std::nullopt;
  if (parity && !AdmitParity(info, *model)) return std::nullopt;
  if (backup && !AdmitBackup(info, *model)) return std::nullopt;
  std::vector<TensorSpec> inputs = Specs(info.inputs());
  std::vector<TensorSpec> outputs = Specs(info.outputs());
  if (!UsableSpecs(inputs) || !UsableSpecs(outputs)) {
    Refuse(info.sha256(), *model, &counters_.refused_shape,
           "an input or output is missing, unnamed or a scalar");
    return std::nullopt;
  }
  CatalogBundle* bundle = Intern(*model, info.sha256());
  CatalogBundle* deployed =
      parity ? Intern(*model, info.lineage().deployed_sha256()) : bundle;
  if (bundle == nullptr || deployed == nullptr) {
    Refuse(info.sha256(), *model, &counters_.refused_limit,
           absl::StrCat("more than ", kMaxBundles, " bundles were seen"));
    return std::nullopt;
  }
  const core::BundleRole role = parity   ? core::BundleRole::kParity
                                : backup ? core::BundleRole::kBackup
                                         : core::BundleRole::kDeployed;
  if (bundle->first_seen != 0 && bundle->role != role) {
    Refuse(info.sha256(), *model, &counters_.refused_shape,
           "its id is that of a bundle of another role");
    return std::nullopt;
  }
  if (bundle->first_seen == 0) {
    bundle->first_seen = ++num_described_;
    bundle->model = *model;
    bundle->role = role;
    bundle->version = info.version();
    bundle->batched = Batched(inputs) && Batched(outputs);
    bundle->inputs = std::move(inputs);
    bundle->outputs = std::move(outputs);
    if (bundle->role == core::BundleRole::kDeployed) WithdrawUnfit(*bundle);
  }
  // What was measured is no part of a bundle's identity, and may be measured
  // anew.
  TakeConfidence(info, &bundle->confidence);
  if (info.relative_cost() > 0 || !info.degraded_accuracy().empty()) {
    bundle->figures = FiguresOf(info);
  }
  const size_t unit = parity ? *FindUnit(*model, info.lineage().code()) : 0;
  bundle->unit = static_cast<uint8_t>(unit);
  // A backup is for whatever is served.
  const CatalogBundle* const helped = backup   ? Current(*model)
                                      : parity ? deployed
                                               : nullptr;
  if (helped != nullptr && helped->first_seen != 0) {
    const absl::Status fits = CheckFits(*bundle, *helped);
    if (!fits.ok()) {
      Refuse(info.sha256(), *model, &counters_.refused_shape, fits.message());
      return std::nullopt;
    }
  }
  return core::ServedBundle{.bundle = bundle->key,
                            .model = *model,
                            .role = bundle->role,
                            .deployed = deployed->key,
                            .parity_index = static_cast<uint8_t>(
                                parity ? info.lineage().parity_index() : 0),
                            .unit = bundle->unit};
}

std::optional<size_t> ModelCatalog::FindUnit(ModelId model,
                                             const wire::Code& code) const {
  const auto& codes = options_.models[Raw(model)].codes;
  for (size_t unit = 0; unit < codes.size(); ++unit) {
    if (SameCode(code, codes[unit]->spec())) return unit;
  }
  return std::nullopt;
}

bool ModelCatalog::AdmitParity(const wire::BundleInfo& info, ModelId model) {
  if (options_.models[Raw(model)].codes.empty()) return false;  // not coded
  const wire::Lineage& lineage = info.lineage();
  if (!FindUnit(model, lineage.code()).has_value() ||
      lineage.parity_index() >= lineage.code().r()) {
    Refuse(info.sha256(), model, &counters_.refused_code,
           absl::StrCat("it was made for code ", lineage.code().scheme(),
                        " k=", lineage.code().k(), " r=", lineage.code().r(),
                        ", parity ", lineage.parity_index(),
                        "; the configuration says ", CodesOf(model)));
    return false;
  }
  return IsCalibrated(info, model);
}

bool ModelCatalog::AdmitBackup(const wire::BundleInfo& info, ModelId model) {
  if (options_.models[Raw(model)].codes.empty()) return false;
  if (PackOf(model) == nullptr) {
    Refuse(info.sha256(), model, &counters_.refused_code,
           absl::StrCat("a backup answers queries side by side, as code pack "
                        "sends them; the configuration says ",
                        CodesOf(model)));
    return false;
  }
  return IsCalibrated(info, model);
}

const Code* ModelCatalog::PackOf(ModelId model) const {
  for (const auto& code : options_.models[Raw(model)].codes) {
    if (code->spec().scheme == "pack") return code.get();
  }
  return nullptr;
}

std::string ModelCatalog::CodesOf(ModelId model) const {
  return absl::StrJoin(options_.models[Raw(model)].codes, ", ",
                       [](std::string* out, const auto& code) {
                         absl::StrAppend(out, ToString(code->spec()));
                       });
}

bool ModelCatalog::IsCalibrated(const wire::BundleInfo& info, ModelId model) {
  if (!options_.models[Raw(model)].needs_calibration ||
      !info.calibration().empty()) {
    return true;
  }
  Refuse(info.sha256(), model, &counters_.refused_calibration,
         "decode.min_confidence or decode.floor is configured, but its "
         "manifest has no calibration table");
  return false;
}

CatalogBundle* ModelCatalog::Intern(ModelId model, const std::string& sha256) {
  // One bundle may be served as two models, each with a policy of its own.
  const std::string name = absl::StrCat(Raw(model), "/", sha256);
  const auto found = key_by_name_.find(name);
  if (found != key_by_name_.end()) return bundles_[Raw(found->second)].get();
  if (bundles_.size() >= kMaxBundles) return nullptr;
  const BundleKey key{static_cast<uint32_t>(bundles_.size())};
  bundles_.push_back(std::make_unique<CatalogBundle>(
      CatalogBundle{.key = key, .sha256 = sha256}));
  key_by_name_.emplace(name, key);
  return bundles_.back().get();
}

void ModelCatalog::Refuse(const std::string& sha256, ModelId model,
                          uint64_t* counter, absl::string_view reason) {
  if (refused_.size() >= kMaxBundles ||
      !refused_.insert(absl::StrCat(sha256, reason)).second) {
    return;
  }
  ++*counter;
  spdlog::error("bundle {} of model '{}' is refused: {}", ShortHex(sha256),
                options_.models[Raw(model)].name, std::string(reason));
}

std::optional<ModelId> ModelCatalog::FindModel(absl::string_view name) const {
  for (size_t i = 0; i < options_.models.size(); ++i) {
    if (options_.models[i].name == name) {
      return ModelId{static_cast<uint32_t>(i)};
    }
  }
  return std::nullopt;
}

const CatalogBundle* ModelCatalog::Current(ModelId model) const {
  return current_.at(Raw(model));
}

const CatalogBundle* ModelCatalog::LastKnown(ModelId model) const {
  return last_known_.at(Raw(model));
}

const CatalogBundle& ModelCatalog::Get(BundleKey key) const {
  return *bundles_.at(Raw(key));
}

const CatalogBundle* ModelCatalog::MostServed(ModelId model,
                                              bool of_all) const {
  std::unordered_map<uint32_t, size_t> workers_by_bundle;
  for (const Worker& worker : workers_) {
    if (!of_all && !worker.takes_tasks) continue;
    for (const core::ServedBundle& served : worker.bundles) {
      if (served.model == model && served.role == core::BundleRole::kDeployed) {
        ++workers_by_bundle[Raw(served.bundle)];
      }
    }
  }
  const CatalogBundle* best = nullptr;
  size_t most = 0;
  for (const auto& [key, count] : workers_by_bundle) {
    const CatalogBundle* bundle = bundles_[key].get();
    if (count > most ||
        (count == most && bundle->first_seen < best->first_seen)) {
      best = bundle;
      most = count;
    }
  }
  return best;
}

void ModelCatalog::UpdateCurrent() {
  for (size_t i = 0; i < current_.size(); ++i) {
    const CatalogBundle* before = last_known_[i];
    const ModelId model{static_cast<uint32_t>(i)};
    current_[i] = MostServed(model, /*of_all=*/false);
    if (current_[i] == nullptr) current_[i] = MostServed(model, true);
    if (current_[i] == nullptr || current_[i] == before) continue;
    last_known_[i] = current_[i];
    spdlog::info("model '{}' is served from bundle {} version '{}'",
                 options_.models[i].name, ShortHex(current_[i]->sha256),
                 current_[i]->version);
  }
}

bool ModelCatalog::Serves(WorkerId worker, ModelId model) const {
  const CatalogBundle* current = Current(model);
  if (current == nullptr) return false;
  for (const core::ServedBundle& served : workers_.at(Raw(worker)).bundles) {
    if (served.bundle == current->key) return true;
  }
  return false;
}

// A parity bundle names the deployed bundle that it can help; the core pairs
// them by that key alone. One of another than the current bundle is thereby
// idle, and said to be so each time that it becomes it.
void ModelCatalog::CheckLineages() {
  std::set<uint32_t> idle;
  for (const Worker& worker : workers_) {
    for (const core::ServedBundle& served : worker.bundles) {
      const CatalogBundle* current = current_[Raw(served.model)];
      if (served.role != core::BundleRole::kParity || current == nullptr ||
          served.deployed == current->key ||
          !idle.insert(Raw(served.bundle)).second ||
          idle_.count(Raw(served.bundle)) != 0) {
        continue;
      }
      ++counters_.refused_lineage;
      spdlog::error(
          "parity bundle {} of model '{}' is idle: it was made for deployed "
          "bundle {}, the model is served from {}",
          ShortHex(Get(served.bundle).sha256),
          options_.models[Raw(served.model)].name,
          ShortHex(Get(served.deployed).sha256), ShortHex(current->sha256));
    }
  }
  idle_ = std::move(idle);
}

absl::Status ModelCatalog::CheckFits(const CatalogBundle& parity,
                                     const CatalogBundle& deployed) const {
  const auto error = [](absl::string_view what, const TensorSpec& got,
                        const TensorSpec& want) {
    return absl::InvalidArgumentError(absl::StrCat(
        "its ", what,
        " is not what the code makes of the deployed bundle's: "
        "got ",
        DataTypeName(got.datatype), " ", ShapeToString(got.shape), ", want ",
        DataTypeName(want.datatype), " ", ShapeToString(want.shape)));
  };
  if (parity.inputs.size() != 1 || parity.outputs.size() != 1) {
    return absl::InvalidArgumentError(
        "a parity or backup bundle has one input and one output");
  }
  // Such queries pass through uncoded, which is said when the first one comes.
  if (!deployed.batched || deployed.inputs.size() != 1 ||
      deployed.outputs.size() != 1) {
    return absl::OkStatus();
  }
  const Code& code =
      parity.role == core::BundleRole::kBackup
          ? *PackOf(parity.model)
          : *options_.models[Raw(parity.model)].codes[parity.unit];
  const absl::StatusOr<TensorSpec> query =
      code.ParityQuerySpec(deployed.inputs[0], code.spec().k);
  if (query.ok() && !Compatible(parity.inputs[0], *query)) {
    return error("input", parity.inputs[0], *query);
  }
  const absl::StatusOr<TensorSpec> answer =
      code.ParityOutputSpec(deployed.outputs[0]);
  if (answer.ok() && !Compatible(parity.outputs[0], *answer)) {
    return error("output", parity.outputs[0], *answer);
  }
  return absl::OkStatus();
}

// Parity bundles may be known before the deployed bundle that they are for.
void ModelCatalog::WithdrawUnfit(const CatalogBundle& deployed) {
  for (size_t i = 0; i < workers_.size(); ++i) {
    const size_t withdrawn = std::erase_if(
        workers_[i].bundles, [&](const core::ServedBundle& served) {
          const bool helps = (served.role == core::BundleRole::kParity &&
                              served.deployed == deployed.key) ||
                             (served.role == core::BundleRole::kBackup &&
                              served.model == deployed.model);
          if (!helps) return false;
          const CatalogBundle& parity = Get(served.bundle);
          const absl::Status fits = CheckFits(parity, deployed);
          if (!fits.ok()) {
            Refuse(parity.sha256, parity.model, &counters_.refused_shape,
                   fits.message());
          }
          return !fits.ok();
        });
    if (withdrawn > 0) {
      revised_.push_back(WorkerId{static_cast<uint32_t>(i)});
    }
  }
}

std::vector<core::WorkerUp> ModelCatalog::TakeRevised() {
  std::vector<core::WorkerUp> revised;
  for (const WorkerId worker : revised_) {
    const Worker& entry = workers_[Raw(worker)];
    revised.push_back(entry.up);
    revised.back().bundles = entry.bundles;
  }
  revised_.clear();
  return revised;
}

Layout ModelCatalog::LayoutOf(const CatalogBundle& bundle,
                              absl::Span<const oip::Tensor> inputs,
                              uint8_t unit) {
  const CatalogModel& model = options_.models[Raw(bundle.model)];
  const Code* const code =
      model.codes.empty() ? nullptr : model.codes[unit].get();
  const Layout layout = layouts_.Find(bundle, model.name, unit, code, inputs);
  counters_.layouts_forgotten = layouts_.num_forgotten();
  return layout;
}

void ModelCatalog::ForEachServed(
    ModelId model,
    absl::FunctionRef<void(const core::ServedBundle&)> visit) const {
  for (const Worker& worker : workers_) {
    if (!worker.takes_tasks) continue;
    for (const core::ServedBundle& served : worker.bundles) {
      if (served.model == model) visit(served);
    }
  }
}

}  // namespace parm
