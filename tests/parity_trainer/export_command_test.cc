#include "parity_trainer/export_command.h"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/export_files.h"
#include "proto/bundle.h"
#include "tests/parity_trainer/commands_fixture.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

std::string Python() {
  const char* const python = std::getenv("PARM_PYTHON");
  PARM_CHECK(python != nullptr);
  return python;
}

/// Whether Python takes the file for a program, or for JSON.
bool PythonReads(const std::string& path) {
  const bool json = path.ends_with(".json");
  const std::string command =
      absl::StrCat(Python(), json ? " -m json.tool " : " -m py_compile ", path,
                   " > /dev/null");
  return std::system(command.c_str()) == 0;
}

class ExportCommandTest : public CommandsTest {
 protected:
  ExportCommandTest() {
    deployed_.model_file = WriteKnowingModel();
    PARM_CHECK(RunDeployedCommand(deployed_).ok());
    export_ = {.bundle = deployed_.out, .out = scratch_ / "repository"};
  }

  std::string Model() const { return ReadFile(scratch_ / "model.pt"); }

  ExportOptions export_;
};

TEST_F(ExportCommandTest, TritonGetsAModelOfItsRepository) {
  ASSERT_THAT(RunExportCommand(export_), IsOk());
  const std::string folder = export_.out + "/deployed";
  EXPECT_EQ(ReadFile(folder + "/1/model.pt"), Model());
  EXPECT_TRUE(PythonReads(folder + "/1/model.py"));
  EXPECT_EQ(ReadFile(folder + "/config.pbtxt"),
            "name: \"deployed\"\n"
            "backend: \"python\"\n"
            "max_batch_size: 64\n"
            "input [\n"
            "  { name: \"input\" data_type: TYPE_FP32 dims: [1, 8, 8] }\n"
            "]\n"
            "output [\n"
            "  { name: \"logits\" data_type: TYPE_FP32 dims: [4] }\n"
            "]\n"
            "instance_group [{ kind: KIND_CPU count: 1 }]\n"
            "dynamic_batching { }\n");
  // A second model may stand beside it.
  export_.name = "other";
  EXPECT_THAT(RunExportCommand(export_), IsOk());
}

TEST_F(ExportCommandTest, AnswersWithoutBatchAxisAreNotBatched) {
  const ExportedModel tile = {
      .name = "tile",
      .input = {.name = "input",
                .datatype = DataType::kUint8,
                .shape = {-1, 1, 8, 8}},
      .output = {
          .name = "logits", .datatype = DataType::kFp32, .shape = {4, -1, 10}}};
  const std::string config = TritonConfig(tile);
  EXPECT_THAT(config, HasSubstr("max_batch_size: 0\n"));
  EXPECT_THAT(config, HasSubstr("TYPE_UINT8 dims: [-1, 1, 8, 8]"));
  EXPECT_THAT(config, HasSubstr("TYPE_FP32 dims: [4, -1, 10]"));
  EXPECT_THAT(config, Not(HasSubstr("dynamic_batching")));
}

TEST_F(ExportCommandTest, ServersLoadItWithTorchsPublicPartAlone) {
  // As much of torch and of the servers as it takes to load a model.
  const std::vector<std::pair<std::string, std::string>> modules = {
      {"torch",
       "class _C: pass\n"
       "class jit:\n"
       "    @staticmethod\n"
       "    def load(path, map_location): return jit()\n"
       "    def eval(self): return self\n"
       "def set_num_threads(number): pass\n"},
      {"triton_python_backend_utils", ""},
      {"mlserver", "class MLModel: _settings = None\n"},
      {"mlserver.codecs", "NumpyCodec = None\n"},
      {"mlserver.types", "InferenceRequest = InferenceResponse = None\n"},
      {"mlserver.utils", "async def get_model_uri(settings): return ''\n"}};
  std::string program = "import sys, types\n";
  for (const auto& [name, text] : modules) {
    absl::StrAppend(
        &program, "module = types.ModuleType('", name, "')\nexec(\"\"\"", text,
        "\"\"\", module.__dict__)\nsys.modules['", name, "'] = module\n");
  }
  const ExportedModel model = {.name = "model",
                               .input = {.name = "x", .shape = {-1, -1}}};
  absl::StrAppend(
      &program, TritonModelPy(model),
      "TritonPythonModel().initialize({'model_repository': '',\n"
      "    'model_version': '1', 'model_config': json.dumps({\n"
      "    'input': [{'name': 'x'}], 'output': [{'name': 'y'}],\n"
      "    'max_batch_size': 0})})\n",
      MlServerModelPy(model),
      "import asyncio\nassert asyncio.run(TorchScriptModel().load())\n");
  const std::string path = scratch_ / "load.py";
  WriteFile(path, program);
  EXPECT_EQ(std::system(absl::StrCat(Python(), " ", path).c_str()), 0);
}

TEST_F(ExportCommandTest, ServersCompileBeforeTheFirstQuery) {
  ExportedModel model = {.name = "model"};
  for (const auto program : {TritonModelPy, MlServerModelPy}) {
    model.input = {
        .name = "input", .datatype = DataType::kUint8, .shape = {-1, 1, 8, 8}};
    EXPECT_THAT(program(model), HasSubstr("_jit_set_profiling_mode"));
    EXPECT_THAT(program(model),
                HasSubstr("\n        self._run(torch.zeros([1, 1, 8, 8], "
                          "dtype=torch.uint8))\n"));
    model.input.datatype = DataType::kFp32;
    EXPECT_THAT(program(model), HasSubstr("dtype=torch.float32))"));
    // Not known what size would do.
    model.input.shape = {-1, 1, -1, -1};
    EXPECT_THAT(program(model), Not(HasSubstr("torch.zeros")));
  }
}

TEST_F(ExportCommandTest, MlServerGetsSettingsAndItsOwnModule) {
  export_.format = "mlserver";
  export_.name = "my-model.v2";
  ASSERT_THAT(RunExportCommand(export_), IsOk());
  const std::string folder = export_.out + "/my-model.v2";
  EXPECT_EQ(ReadFile(folder + "/model.pt"), Model());
  EXPECT_TRUE(PythonReads(folder + "/runtime_my_model_v2.py"));
  EXPECT_TRUE(PythonReads(folder + "/model-settings.json"));
  EXPECT_THAT(ReadFile(folder + "/model-settings.json"),
              HasSubstr("\"runtime_my_model_v2.TorchScriptModel\""));
  EXPECT_THAT(ReadFile(export_.out + "/settings.json"), HasSubstr("127.0.0.1"));
  // What a user made of the server's settings stays.
  WriteFile(export_.out + "/settings.json", "{}");
  export_.force = true;
  ASSERT_THAT(RunExportCommand(export_), IsOk());
  EXPECT_EQ(ReadFile(export_.out + "/settings.json"), "{}");
}

TEST_F(ExportCommandTest, TorchScriptIsTheFileAlone) {
  export_.format = "torchscript";
  ASSERT_THAT(RunExportCommand(export_), IsOk());
  EXPECT_EQ(ReadFile(export_.out), Model());
}

TEST_F(ExportCommandTest, ModelThatIsThereIsReplacedByForceAlone) {
  for (const char* const format : {"triton", "mlserver", "torchscript"}) {
    SCOPED_TRACE(format);
    export_.format = format;
    export_.out = scratch_ / format;
    export_.force = false;
    ASSERT_THAT(RunExportCommand(export_), IsOk());
    EXPECT_THAT(RunExportCommand(export_),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         HasSubstr("--force to replace it")));
    export_.force = true;
    EXPECT_THAT(RunExportCommand(export_), IsOk());
  }
}

TEST_F(ExportCommandTest, WhatCannotBeExportedIsASentence) {
  for (const char* const name : {"a/b", ".hidden", ".."}) {
    export_.name = name;
    EXPECT_THAT(RunExportCommand(export_),
                StatusIs(kInvalid, HasSubstr("name is none for a folder")));
  }
  export_.name = "a";
  export_.format = "onnx";
  EXPECT_THAT(RunExportCommand(export_),
              StatusIs(kInvalid, HasSubstr("want triton, mlserver or")));
  export_.format = "triton";
  PARM_ASSERT_OK_AND_ASSIGN(Bundle bundle, LoadBundle(deployed_.out));
  bundle.manifest.clear_probes();
  bundle.manifest.mutable_inputs(0)->set_datatype("BF16");
  ASSERT_THAT(
      WriteBundle(scratch_ / "bf16", bundle.manifest, {{"model.pt", Model()}}),
      IsOk());
  export_.bundle = scratch_ / "bf16";
  EXPECT_THAT(RunExportCommand(export_),
              StatusIs(kInvalid, HasSubstr("none of numpy's: got BF16")));
  *bundle.manifest.add_inputs() = bundle.manifest.inputs(0);
  bundle.manifest.mutable_inputs(1)->set_name("second");
  ASSERT_THAT(
      WriteBundle(scratch_ / "two", bundle.manifest, {{"model.pt", Model()}}),
      IsOk());
  export_.bundle = scratch_ / "two";
  EXPECT_THAT(RunExportCommand(export_),
              StatusIs(kInvalid, HasSubstr("got 2 inputs and 1 outputs")));
  export_.bundle = scratch_ / "nowhere";
  EXPECT_THAT(RunExportCommand(export_), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(std::filesystem::exists(export_.out));
}

}  // namespace
}  // namespace parm
