#include "parity_trainer/export_command.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/bundle_parts.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/export_files.h"
#include "proto/atomic_directory.h"
#include "proto/atomic_file.h"
#include "proto/bundle.h"

namespace parm {
namespace {

constexpr char kModelFile[] = "model.pt";

absl::StatusOr<ExportedModel> Describe(const Bundle& bundle,
                                       const std::string& name) {
  const std::vector<TensorSpec> inputs = InputSpecs(bundle.manifest);
  const std::vector<TensorSpec> outputs = OutputSpecs(bundle.manifest);
  if (inputs.size() != 1 || outputs.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "bundle has an unsupported form: got ", inputs.size(), " inputs and ",
        outputs.size(), " outputs, want one of each: ", bundle.directory));
  }
  for (const TensorSpec& spec : {inputs[0], outputs[0]}) {
    if (spec.datatype != DataType::kBf16 && spec.datatype != DataType::kBytes) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "datatype is none of numpy's: got ",
        std::string(DataTypeName(spec.datatype)), " for ", spec.name));
  }
  if (name.empty() || name[0] == '.' || absl::StrContains(name, '/')) {
    return absl::InvalidArgumentError(
        absl::StrCat("name is none for a folder: got \"", name, "\""));
  }
  return ExportedModel{.name = name,
                       .version = bundle.manifest.version(),
                       .origin = absl::StrCat(bundle.manifest.role(), " of ",
                                              bundle.manifest.model(), ", id ",
                                              ToHex(bundle.id)),
                       .input = inputs[0],
                       .output = outputs[0]};
}

absl::Status CheckFree(const std::string& path, const ExportOptions& options) {
  std::error_code ignored;
  if (options.force || !std::filesystem::exists(path, ignored)) {
    return absl::OkStatus();
  }
  return absl::AlreadyExistsError(
      absl::StrCat("model is there already: ", path,
                   "; name another --out or --name, or --force to replace it"));
}

absl::Status ExportToTriton(const ExportedModel& model,
                            const std::string& model_bytes,
                            const std::string& folder) {
  PARM_RETURN_IF_ERROR(WriteDirectoryAtomically(
      folder + "/1",
      {{"model.py", TritonModelPy(model)}, {kModelFile, model_bytes}},
      "model.py"));
  return WriteFileAtomically(folder + "/config.pbtxt", TritonConfig(model));
}

absl::Status ExportToMlServer(const ExportedModel& model,
                              const std::string& model_bytes,
                              const std::string& repository,
                              const std::string& folder) {
  PARM_RETURN_IF_ERROR(WriteDirectoryAtomically(
      folder,
      {{absl::StrCat(MlServerModule(model), ".py"), MlServerModelPy(model)},
       {kModelFile, model_bytes},
       {"model-settings.json", MlServerModelSettings(model)}},
      "model-settings.json"));
  const std::string settings = repository + "/settings.json";
  std::error_code ignored;
  if (std::filesystem::exists(settings, ignored)) return absl::OkStatus();
  return WriteFileAtomically(settings, MlServerSettings());
}

}  // namespace

absl::StatusOr<std::string> RunExportCommand(const ExportOptions& options) {
  const bool file = options.format == "torchscript";
  if (!file && options.format != "triton" && options.format != "mlserver") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown format: got \"", options.format,
                     "\", want triton, mlserver or torchscript"));
  }
  PARM_ASSIGN_OR_RETURN(const Bundle bundle, LoadBundle(options.bundle));
  PARM_ASSIGN_OR_RETURN(const std::string model_bytes,
                        ReadModelFile(bundle.model_path));
  PARM_ASSIGN_OR_RETURN(const ExportedModel model,
                        Describe(bundle, NameOr(options.name, options.bundle)));
  const std::string path =
      file ? options.out : absl::StrCat(options.out, "/", model.name);
  PARM_RETURN_IF_ERROR(CheckFree(path, options));
  if (file) {
    PARM_RETURN_IF_ERROR(WriteFileAtomically(path, model_bytes));
  } else if (options.format == "triton") {
    PARM_RETURN_IF_ERROR(ExportToTriton(model, model_bytes, path));
  } else {
    PARM_RETURN_IF_ERROR(
        ExportToMlServer(model, model_bytes, options.out, path));
  }
  return absl::StrCat(path, ": ", model.origin, ", input ", model.input.name,
                      " ", ShapeToString(model.input.shape), ", output ",
                      model.output.name, " ",
                      ShapeToString(model.output.shape));
}

}  // namespace parm
