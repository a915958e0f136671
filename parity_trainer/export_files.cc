#include "parity_trainer/export_files.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/types/span.h"
#include "base/json_writer.h"

namespace parm {
namespace {

constexpr int kMaxBatch = 64;

// As protobuf's text form and JSON write it.
std::string Quoted(const std::string& text) {
  std::string quoted;
  JsonWriter(&quoted).String(text);
  return quoted;
}

std::string TritonTensor(const TensorSpec& spec, bool batched) {
  // With max_batch_size Triton adds the batch itself.
  absl::Span<const int64_t> shape = spec.shape;
  if (batched) shape.remove_prefix(1);
  return absl::StrCat("  { name: ", Quoted(spec.name), " data_type: TYPE_",
                      std::string(DataTypeName(spec.datatype)), " dims: [",
                      absl::StrJoin(shape, ", "), "] }\n");
}

void WriteTensors(const char* key, const TensorSpec& spec, JsonWriter* json) {
  json->Key(key).BeginArray().BeginObject();
  json->Key("name").String(spec.name);
  json->Key("datatype").String(std::string(DataTypeName(spec.datatype)));
  json->Key("shape").BeginArray();
  for (const int64_t dimension : spec.shape) json->Int(dimension);
  json->EndArray();
  json->EndObject().EndArray();
}

constexpr char kTritonModelPy[] = R"py("""Runs model.pt: ORIGIN."""

import json
import os

import torch
import triton_python_backend_utils as pb


class TritonPythonModel:

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self._input = config["input"][0]["name"]
        self._output = config["output"][0]["name"]
        self._batched = config["max_batch_size"] > 0
        torch.set_num_threads(1)
        # It would compile anew for the first batches of each size. A torch
        # without that switch, which is not public, serves all the same.
        getattr(torch._C, "_jit_set_profiling_mode", lambda on: None)(False)
        self._model = torch.jit.load(os.path.join(
            args["model_repository"], args["model_version"], "model.pt"),
            map_location="cpu").eval()
WARM_UP
    def _run(self, tensor):
        with torch.inference_mode():
            return self._model(tensor)

    def execute(self, requests):
        # A copy: Triton's memory cannot be written to, and torch says so.
        inputs = [torch.from_numpy(pb.get_input_tensor_by_name(
            request, self._input).as_numpy().copy()) for request in requests]
        if self._batched:
            outputs = self._run(torch.cat(inputs)).split(
                [len(tensor) for tensor in inputs])
        else:
            outputs = [self._run(tensor) for tensor in inputs]
        return [pb.InferenceResponse([pb.Tensor(
            self._output, output.contiguous().numpy())]) for output in outputs]
)py";

constexpr char kMlServerModelPy[] = R"py("""Runs model.pt: ORIGIN."""

import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class TorchScriptModel(MLModel):

    async def load(self) -> bool:
        torch.set_num_threads(1)
        # It would compile anew for the first batches of each size. A torch
        # without that switch, which is not public, serves all the same.
        getattr(torch._C, "_jit_set_profiling_mode", lambda on: None)(False)
        self._model = torch.jit.load(
            await get_model_uri(self._settings), map_location="cpu").eval()
WARM_UP        return True

    def _run(self, tensor):
        with torch.inference_mode():
            return self._model(tensor)

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        values = NumpyCodec.decode_input(payload.inputs[0])
        output = self._run(torch.from_numpy(values.copy())).numpy()
        return InferenceResponse(
            id=payload.id, model_name=self.name, model_version=self.version,
            outputs=[NumpyCodec.encode_output(
                self._settings.outputs[0].name, output)])
)py";

/// The Python name of torch's type for a datatype that numpy has too.
std::string TorchType(DataType datatype) {
  std::string name(DataTypeName(datatype));
  if (absl::StartsWith(name, "FP")) name.replace(0, 2, "float");
  return absl::AsciiStrToLower(name);
}

/// The statement that has everything compiled before the first query comes;
/// empty if sizes beside the batch are open.
std::string WarmUp(const TensorSpec& input) {
  std::vector<int64_t> shape = input.shape;
  if (!shape.empty() && shape[0] == -1) shape[0] = 1;
  if (std::any_of(shape.begin(), shape.end(),
                  [](int64_t size) { return size < 0; })) {
    return "";
  }
  return absl::StrCat("        self._run(torch.zeros([",
                      absl::StrJoin(shape, ", "), "], dtype=torch.",
                      TorchType(input.datatype), "))\n");
}

std::string Fill(const char* text, const ExportedModel& model) {
  // Inside a docstring.
  const std::string origin = absl::StrReplaceAll(
      model.origin, {{"\\", "/"}, {"\"", "'"}, {"\n", " "}, {"\r", " "}});
  return absl::StrReplaceAll(
      text, {{"ORIGIN", origin}, {"WARM_UP", WarmUp(model.input)}});
}

}  // namespace

bool ExportedModel::batched() const {
  return input.shape.at(0) == -1 && output.shape.at(0) == -1;
}

std::string TritonConfig(const ExportedModel& model) {
  const bool batched = model.batched();
  std::string text = absl::StrCat(
      "name: ", Quoted(model.name),
      "\nbackend: \"python\"\nmax_batch_size: ", batched ? kMaxBatch : 0,
      "\ninput [\n", TritonTensor(model.input, batched), "]\noutput [\n",
      TritonTensor(model.output, batched),
      "]\ninstance_group [{ kind: KIND_CPU count: 1 }]\n");
  if (batched) absl::StrAppend(&text, "dynamic_batching { }\n");
  return text;
}

std::string TritonModelPy(const ExportedModel& model) {
  return Fill(kTritonModelPy, model);
}

std::string MlServerModule(const ExportedModel& model) {
  // One for each model: MLServer imports them all into one process.
  std::string module = absl::StrCat("runtime_", model.name);
  for (char& letter : module) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(letter))) letter = '_';
  }
  return module;
}

std::string MlServerModelSettings(const ExportedModel& model) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("name").String(model.name);
  json.Key("implementation")
      .String(absl::StrCat(MlServerModule(model), ".TorchScriptModel"));
  json.Key("parameters").BeginObject();
  json.Key("uri").String("./model.pt");
  json.Key("version").String(model.version);
  json.EndObject();
  WriteTensors("inputs", model.input, &json);
  WriteTensors("outputs", model.output, &json);
  json.EndObject();
  text.push_back('\n');
  return text;
}

std::string MlServerModelPy(const ExportedModel& model) {
  return Fill(kMlServerModelPy, model);
}

std::string MlServerSettings() {
  return "{\"host\": \"127.0.0.1\", \"parallel_workers\": 0}\n";
}

}  // namespace parm
