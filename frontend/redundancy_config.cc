#include "frontend/redundancy_config.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "proto/config.pb.h"
#include "proto/duration.h"

namespace parm {
namespace {

absl::Status ResolveDecode(const config::Decode& decode,
                           const ConfigPath& model_path,
                           const ConfigSource& source,
                           core::ModelOptions* model) {
  const auto error = [&](absl::string_view key, absl::string_view text) {
    ConfigPath path = model_path;
    path.insert(path.end(), {"redundancy", "decode", key});
    return source.Error(path, text);
  };
  core::DecodeOptions& out = model->decode;
  if (decode.trigger().has_quantile()) {
    out.trigger_quantile = decode.trigger().quantile();
  }
  out.trigger_min = DurationOr(decode.trigger().min(), Duration{0});
  if (!decode.trigger().max().empty()) {
    out.trigger_max = DurationOr(decode.trigger().max(), Duration{0});
    if (out.trigger_min > *out.trigger_max) {
      return error("trigger", "trigger: min is above max");
    }
  }
  out.slack = DurationOr(decode.slack(), out.slack);
  if (out.slack >= model->deadline) {
    return error("slack", "slack must be below the model's deadline");
  }
  if (decode.has_min_confidence()) {
    out.min_confidence = static_cast<float>(decode.min_confidence());
  }
  if (decode.has_floor()) out.floor = static_cast<float>(decode.floor());
  if (out.min_confidence && out.floor && *out.floor > *out.min_confidence) {
    return error("floor", "floor is above min_confidence");
  }
  if (decode.has_min_agreement()) out.min_agreement = decode.min_agreement();
  out.max_noise_gain = ValueOr(decode.max_noise_gain(), out.max_noise_gain);
  return absl::OkStatus();
}

absl::Status ResolveHedge(const config::Hedge& hedge,
                          const ConfigPath& model_path,
                          const ConfigSource& source,
                          core::ModelOptions* model) {
  const auto error = [&](ConfigPath keys, absl::string_view text) {
    ConfigPath path = model_path;
    path.insert(path.end(), {"redundancy", "hedge"});
    path.insert(path.end(), keys.begin(), keys.end());
    return source.Error(path, text);
  };
  core::HedgeOptions& out = model->hedge;
  const config::HedgeDelay& delay = hedge.delay();
  if (delay.has_quantile()) out.quantile = delay.quantile();
  out.max = DurationOr(delay.max(), model->deadline / 2);
  if (*out.max > model->deadline) {
    return error({"delay", "max"}, "max must not be above the deadline");
  }
  out.min = DurationOr(delay.min(), std::min(out.min, *out.max));
  if (out.min <= Duration{0}) {
    return error({"delay", "min"}, "min must be above 0");
  }
  if (out.min > *out.max) {
    return error({"delay"}, "delay: min is above max");
  }
  if (hedge.has_max_extra_load()) {
    out.budget.max_extra_load = hedge.max_extra_load();
  }
  if (hedge.has_min_per_second()) {
    out.budget.min_per_second = hedge.min_per_second();
  }
  if (out.budget.max_extra_load == 0 && out.budget.min_per_second == 0) {
    return error({"max_extra_load"},
                 "max_extra_load and min_per_second are both 0: nothing would "
                 "ever be hedged; policy none says so");
  }
  out.budget.burst = ValueOr(hedge.burst(), out.budget.burst);
  if (hedge.max_concurrent() > 0) {
    out.budget.max_concurrent = hedge.max_concurrent();
  }
  if (hedge.has_max_late_share()) out.max_late_share = hedge.max_late_share();
  return absl::OkStatus();
}

absl::Status ResolveHybrid(const config::Hybrid& hybrid,
                           const ConfigPath& model_path,
                           const ConfigSource& source,
                           core::ModelOptions* model) {
  core::HybridOptions& out = model->hybrid;
  if (hybrid.has_max_extra_load()) out.max_extra_load = hybrid.max_extra_load();
  if (hybrid.gate().has_open()) out.gate.open = hybrid.gate().open();
  if (hybrid.gate().has_shut()) out.gate.shut = hybrid.gate().shut();
  out.gate.window = DurationOr(hybrid.gate().window(), out.gate.window);
  out.parity_cost = hybrid.parity_cost();
  if (hybrid.gate().has_calm_share()) {
    out.gate.calm_share = hybrid.gate().calm_share();
  }
  if (hybrid.gate().has_calm_shut()) {
    out.gate.calm_shut = hybrid.gate().calm_shut();
  }
  if (hybrid.has_run_quantile()) out.run_quantile = hybrid.run_quantile();
  if (hybrid.has_max_all_late()) out.max_all_late = hybrid.max_all_late();
  absl::string_view text;
  if (!(out.gate.open < out.gate.shut)) text = "gate: open is not below shut";
  if (out.gate.window <= Duration{0}) text = "gate: window must be above 0";
  if (text.empty()) return absl::OkStatus();
  ConfigPath path = model_path;
  path.insert(path.end(), {"redundancy", "hybrid", "gate"});
  return source.Error(path, text);
}

core::PolicyKind PolicyNamed(absl::string_view name) {
  if (name == "coded") return core::PolicyKind::kCoded;
  if (name == "backup") return core::PolicyKind::kBackup;
  if (name == "hedge") return core::PolicyKind::kHedge;
  if (name == "hybrid") return core::PolicyKind::kHybrid;
  if (name == "replicate") return core::PolicyKind::kReplicate;
  return core::PolicyKind::kNone;
}

// Checked under every policy: a mistake should not wait for the switch.
absl::StatusOr<std::shared_ptr<const Code>> ResolveCode(
    const config::Code& given, ConfigPath path, const ConfigSource& source,
    const core::ModelOptions& model) {
  absl::StatusOr<std::unique_ptr<const Code>> code =
      CreateCode({.scheme = given.scheme(),
                  .k = static_cast<int>(given.k()),
                  .r = static_cast<int>(ValueOr(given.r(), 1U))});
  if (!code.ok()) return source.Error(path, code.status().message());
  if (model.policy == core::PolicyKind::kBackup && given.scheme() != "pack") {
    path.push_back("scheme");
    return source.Error(path,
                        "policy backup sends queries side by side: its code is "
                        "{scheme: pack, k: K}");
  }
  return *std::move(code);
}

absl::Status ResolveUnits(const config::Redundancy& redundancy,
                          const ConfigPath& model_path,
                          const ConfigSource& source,
                          core::ModelOptions* model) {
  const auto path_of = [&](ConfigPath keys) {
    ConfigPath path = model_path;
    path.push_back("redundancy");
    path.insert(path.end(), keys.begin(), keys.end());
    return path;
  };
  const auto num_units = static_cast<size_t>(redundancy.units_size());
  if (redundancy.has_code() && num_units > 0) {
    return source.Error(path_of({"units"}),
                        "code and units: code is the one unit, units are those "
                        "to choose from; give one of them");
  }
  if (num_units > core::kMaxUnits) {
    return source.Error(path_of({"units", core::kMaxUnits}),
                        absl::StrCat("more units than ", core::kMaxUnits));
  }
  if (redundancy.has_max_accuracy_drop() && num_units == 0) {
    return source.Error(path_of({"max_accuracy_drop"}),
                        "max_accuracy_drop is for units, and none are given");
  }
  std::vector<std::shared_ptr<const Code>> codes;
  if (redundancy.has_code()) {
    PARM_ASSIGN_OR_RETURN(
        codes.emplace_back(),
        ResolveCode(redundancy.code(), path_of({"code"}), source, *model));
  }
  for (size_t i = 0; i < num_units; ++i) {
    const ConfigPath path = path_of({"units", i});
    PARM_ASSIGN_OR_RETURN(std::shared_ptr<const Code> code,
                          ResolveCode(redundancy.units(static_cast<int>(i)),
                                      path, source, *model));
    for (const auto& other : codes) {
      if (other->spec() != code->spec()) continue;
      return source.Error(
          path, absl::StrCat("unit given twice: ", ToString(code->spec())));
    }
    codes.push_back(std::move(code));
  }
  if (!core::UsesCode(model->policy)) return absl::OkStatus();
  if (codes.empty() && model->policy == core::PolicyKind::kBackup) {
    // A copy of every query.
    PARM_ASSIGN_OR_RETURN(codes.emplace_back(),
                          CreateCode({.scheme = "pack", .k = 1}));
  }
  if (codes.empty()) {
    return source.Error(
        path_of({"policy"}),
        absl::StrCat("policy ", redundancy.policy(),
                     " needs a code: {scheme: NAME, k: K, r: R}, or units: a "
                     "list of them"));
  }
  model->code = codes[0];
  model->more_codes.assign(codes.begin() + 1, codes.end());
  return absl::OkStatus();
}

}  // namespace

absl::Status ResolveRedundancy(const config::Redundancy& redundancy,
                               const ConfigPath& model_path,
                               const ConfigSource& source,
                               core::ModelOptions* model) {
  const auto error = [&](ConfigPath keys, absl::string_view text) {
    ConfigPath path = model_path;
    path.push_back("redundancy");
    path.insert(path.end(), keys.begin(), keys.end());
    return source.Error(path, text);
  };
  model->policy = PolicyNamed(redundancy.policy());
  model->mode = redundancy.mode() == "observe" ? core::PolicyMode::kObserve
                                               : core::PolicyMode::kAct;
  PARM_RETURN_IF_ERROR(ResolveUnits(redundancy, model_path, source, model));
  model->group_timeout =
      DurationOr(redundancy.group().timeout(), model->group_timeout);
  if (redundancy.has_group() && model->group_timeout >= model->deadline) {
    return error({"group", "timeout"},
                 "group.timeout must be below the model's deadline");
  }
  model->pad_short_groups = redundancy.group().short_group() != "unprotected";
  model->replicate_cancels = redundancy.replicate().cancel() == "start"
                                 ? core::CancelLoser::kAtStart
                                 : core::CancelLoser::kAtEnd;
  PARM_RETURN_IF_ERROR(
      ResolveHedge(redundancy.hedge(), model_path, source, model));
  PARM_RETURN_IF_ERROR(
      ResolveHybrid(redundancy.hybrid(), model_path, source, model));
  return ResolveDecode(redundancy.decode(), model_path, source, model);
}

}  // namespace parm
