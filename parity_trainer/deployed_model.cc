#include "parity_trainer/deployed_model.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/evaluation.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

constexpr int64_t kMaxModelBytes = int64_t{1} << 32;

absl::Status LabelByAnswers(const DeployedModel& deployed, const Dataset& data,
                            Split* split) {
  PARM_ASSIGN_OR_RETURN(
      const HostTensor logits,
      deployed.runner.RunAll(data, *split, deployed.input.datatype));
  split->labels = AnsweredClasses(logits);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadModelFile(const std::string& path) {
  return ReadWholeFile(path, kMaxModelBytes);
}

absl::StatusOr<DeployedModel> LoadDeployedModel(const std::string& directory) {
  PARM_ASSIGN_OR_RETURN(Bundle bundle, LoadBundle(directory));
  if (bundle.manifest.role() != "deployed") {
    return absl::InvalidArgumentError(
        absl::StrCat("bundle has the wrong role: got ", bundle.manifest.role(),
                     ", want deployed: ", directory));
  }
  const std::vector<TensorSpec> inputs = InputSpecs(bundle.manifest);
  const std::vector<TensorSpec> outputs = OutputSpecs(bundle.manifest);
  if (inputs.size() != 1 || outputs.size() != 1 ||
      outputs[0].shape.size() != 2 || outputs[0].shape[1] < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "deployed model has an unsupported form: want one input and one output "
        "[-1,classes]: ",
        directory));
  }
  if (inputs[0].datatype != DataType::kUint8 &&
      inputs[0].datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(
        absl::StrCat("deployed model has an unsupported input: got ",
                     DataTypeName(inputs[0].datatype), ", want UINT8 or FP32"));
  }
  PARM_ASSIGN_OR_RETURN(std::string model_bytes,
                        ReadModelFile(bundle.model_path));
  PARM_ASSIGN_OR_RETURN(ModelRunner runner, ModelRunner::Create(model_bytes));
  return DeployedModel{.bundle = std::move(bundle),
                       .model_bytes = std::move(model_bytes),
                       .runner = std::move(runner),
                       .input = inputs[0],
                       .output = outputs[0]};
}

absl::StatusOr<Dataset> LoadDataFor(const DeployedModel& deployed,
                                    const DataOptions& options,
                                    bool with_train) {
  PARM_ASSIGN_OR_RETURN(Dataset data,
                        LoadDataset({.source = options.source,
                                     .with_train = with_train,
                                     .limit_train = options.limit_train,
                                     .limit_test = options.limit_test,
                                     .num_classes = deployed.output.shape[1]}));
  std::vector<int64_t> shape = data.sample_shape;
  shape.insert(shape.begin(), -1);
  if (shape != deployed.input.shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data do not fit the deployed model: got samples of ",
        ShapeToString(shape), ", want ", ShapeToString(deployed.input.shape)));
  }
  if (data.datatype == DataType::kFp32 &&
      deployed.input.datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(absl::StrCat(
        "data do not fit the deployed model: got FP32 values, want ",
        DataTypeName(deployed.input.datatype)));
  }
  if (!data.labelled) {
    PARM_RETURN_IF_ERROR(LabelByAnswers(deployed, data, &data.test));
    if (with_train) {
      PARM_RETURN_IF_ERROR(LabelByAnswers(deployed, data, &data.train));
    }
  }
  return data;
}

}  // namespace parm
