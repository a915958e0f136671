#include "backends/torch/torch_model.h"

#include <array>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backends/served_bundle.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/bundle.h"
#include "tests/backends/raw_frontend.h"
#include "tests/backends/torch/torch_modules.h"
#include "tests/support/matchers.h"
#include "tests/support/process.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
ModelTensor TensorOf(DataType datatype, std::vector<int64_t> shape,
                     const std::vector<T>& values, size_t misaligned_by = 0) {
  std::byte* data = nullptr;
  const size_t size = values.size() * sizeof(T);
  const Buffer whole = Buffer::Allocate(size + misaligned_by, &data);
  std::memcpy(data + misaligned_by, values.data(), size);
  return {.datatype = datatype,
          .shape = std::move(shape),
          .bytes = whole.Slice(misaligned_by, size)};
}

std::vector<float> FloatsOfTensor(const ModelTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.bytes().data(), tensor.bytes.size());
  return values;
}

// Of this process.
size_t NumThreads() {
  const std::filesystem::directory_iterator threads("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(threads), end(threads)));
}

class TorchModelTest : public ::testing::Test {
 protected:
  ModelFile FileOf(DataType input, std::vector<int64_t> shape) {
    return {.path = path_,
            .inputs = {{.name = "x", .datatype = input, .shape = shape}},
            .outputs = {
                {.name = "y", .datatype = DataType::kFp32, .shape = {-1, 3}}}};
  }

  // A bundle around the linear module of 4 inputs and 3 outputs.
  absl::StatusOr<Bundle> WriteModuleBundle(int64_t outputs) {
    SaveLinearModule(path_, 4, 3);
    bundle::Manifest manifest;
    manifest.set_model("m");
    manifest.set_version("1");
    manifest.set_role("deployed");
    manifest.set_file("model.pt");
    bundle::Tensor* const input = manifest.add_inputs();
    input->set_name("x");
    input->set_datatype("FP32");
    input->add_shape(-1);
    input->add_shape(4);
    bundle::Tensor* const output = manifest.add_outputs();
    output->set_name("y");
    output->set_datatype("FP32");
    output->add_shape(-1);
    output->add_shape(outputs);
    return WriteBundle(scratch_ / "bundle", manifest,
                       {{"model.pt", ReadFile(path_)}});
  }

  ScratchDirectory scratch_;
  const std::string path_ = scratch_ / "model.pt";
};

TEST_F(TorchModelTest, AnswersWithTheModulesNumbers) {
  SaveLinearModule(path_, 4, 3);
  PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 4})));
  for (const size_t misaligned_by : {size_t{0}, size_t{1}}) {
    PARM_ASSERT_OK_AND_ASSIGN(
        const auto outputs,
        model->Run({TensorOf<float>(DataType::kFp32, {2, 4},
                                    {1, 0, 0, 0, 0, 0, 2, 1}, misaligned_by)}));
    ASSERT_EQ(outputs.size(), 1U);
    EXPECT_EQ(outputs[0].datatype, DataType::kFp32);
    EXPECT_THAT(outputs[0].shape, ElementsAre(2, 3));
    EXPECT_THAT(FloatsOfTensor(outputs[0]), ElementsAre(0, 1, 2, 7, 10, 13));
  }
}

// On a machine with one core there is nothing to see.
TEST_F(TorchModelTest, RunsInTheCallersThreadAlone) {
  SaveModule(path_, "  return torch.matmul(x, x)\n");
  PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 256})));
  std::thread lane([&] {
    const size_t before = NumThreads();
    const std::vector<float> values(size_t{256} * 256, 1);
    EXPECT_THAT(
        model->Run({TensorOf<float>(DataType::kFp32, {256, 256}, values)}),
        IsOk());
    EXPECT_EQ(NumThreads(), before);
  });
  lane.join();
}

TEST_F(TorchModelTest, TakesEachDatatypeOfTheWire) {
  SaveModule(path_, "  return x.to(dtype=6)\n");
  const auto expect = [&](const ModelTensor& input) {
    PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                              LoadTorchModel(FileOf(input.datatype, {-1, 2})));
    PARM_ASSERT_OK_AND_ASSIGN(const auto outputs, model->Run({input}));
    EXPECT_THAT(FloatsOfTensor(outputs[0]), ElementsAre(1, 2));
  };
  expect(TensorOf<float>(DataType::kFp32, {1, 2}, {1, 2}));
  expect(TensorOf<double>(DataType::kFp64, {1, 2}, {1, 2}));
  expect(TensorOf<uint8_t>(DataType::kUint8, {1, 2}, {1, 2}));
  expect(TensorOf<int8_t>(DataType::kInt8, {1, 2}, {1, 2}));
  expect(TensorOf<int16_t>(DataType::kInt16, {1, 2}, {1, 2}));
  expect(TensorOf<int32_t>(DataType::kInt32, {1, 2}, {1, 2}));
  expect(TensorOf<int64_t>(DataType::kInt64, {1, 2}, {1, 2}));
  expect(TensorOf<uint16_t>(DataType::kFp16, {1, 2}, {0x3c00, 0x4000}));
  expect(TensorOf<uint16_t>(DataType::kBf16, {1, 2}, {0x3f80, 0x4000}));
}

TEST_F(TorchModelTest, TupleIsSeveralOutputs) {
  SaveModule(path_, "  return x + 1, x.to(dtype=4)\n");
  PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 2})));
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto outputs,
      model->Run({TensorOf<float>(DataType::kFp32, {1, 2}, {1, 2})}));
  ASSERT_EQ(outputs.size(), 2U);
  EXPECT_THAT(FloatsOfTensor(outputs[0]), ElementsAre(2, 3));
  EXPECT_EQ(outputs[1].datatype, DataType::kInt64);
}

TEST_F(TorchModelTest, AnswerThatIsTheInputKeepsItAlive) {
  SaveModule(path_, "  return x[:, 1:]\n");
  PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 3})));
  const std::array<float, 3> values = {1, 2, 3};
  bool released = false;
  ModelTensor input = {
      .datatype = DataType::kFp32,
      .shape = {1, 3},
      .bytes = Buffer::Wrap(
          absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()),
                              sizeof(values)),
          &released, [](void* flag) { *static_cast<bool*>(flag) = true; })};
  PARM_ASSERT_OK_AND_ASSIGN(auto outputs, model->Run({input}));
  input = {};
  EXPECT_FALSE(released);
  EXPECT_THAT(FloatsOfTensor(outputs.at(0)), ElementsAre(2, 3));
  outputs.clear();
  EXPECT_TRUE(released);
}

TEST_F(TorchModelTest, LanesMayRunItAtOnce) {
  SaveLinearModule(path_, 4, 3);
  PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 4})));
  std::vector<std::thread> lanes;
  for (int lane = 0; lane < 3; ++lane) {
    lanes.emplace_back([&model, lane] {
      const float value = static_cast<float>(lane);
      for (int i = 0; i < 50; ++i) {
        const auto outputs = model->Run(
            {TensorOf<float>(DataType::kFp32, {1, 4}, {0, value, 0, 0})});
        ASSERT_THAT(outputs, IsOk());
        EXPECT_THAT(FloatsOfTensor((*outputs)[0]),
                    ElementsAre(value, 2 * value, 3 * value));
      }
    });
  }
  for (std::thread& lane : lanes) lane.join();
}

TEST_F(TorchModelTest, ExceptionOfModelIsInternal) {
  SaveModule(path_,
             "  assert bool(x.sum() < 0), \"too positive\"\n"
             "  return x\n");
  PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 2})));
  EXPECT_THAT(model->Run({TensorOf<float>(DataType::kFp32, {1, 2}, {1, 2})}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("positive")));
  // A shape that a layer cannot take ends in c10::Error.
  SaveLinearModule(path_, 4, 3);
  PARM_ASSERT_OK_AND_ASSIGN(const auto linear,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 2})));
  EXPECT_THAT(linear->Run({TensorOf<float>(DataType::kFp32, {1, 2}, {1, 2})}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("shapes")));
}

TEST_F(TorchModelTest, AnswerWithoutTensorIsInternal) {
  SaveModule(path_, "  return 3\n");
  PARM_ASSERT_OK_AND_ASSIGN(const auto model,
                            LoadTorchModel(FileOf(DataType::kFp32, {-1, 2})));
  EXPECT_THAT(model->Run({TensorOf<float>(DataType::kFp32, {1, 2}, {1, 2})}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("no tensor")));
}

TEST_F(TorchModelTest, AbsentFileIsNotFound) {
  EXPECT_THAT(LoadTorchModel(FileOf(DataType::kFp32, {-1, 4})),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(path_)));
}

TEST_F(TorchModelTest, TruncatedFileIsDataLoss) {
  SaveLinearModule(path_, 4, 3);
  const std::string whole = ReadFile(path_);
  WriteFile(path_, whole.substr(0, whole.size() / 2));
  EXPECT_THAT(LoadTorchModel(FileOf(DataType::kFp32, {-1, 4})),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("cut short")));
}

TEST_F(TorchModelTest, DatatypeWithoutTorchTypeIsInvalid) {
  EXPECT_THAT(LoadTorchModel(FileOf(DataType::kBytes, {-1})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("BYTES")));
}

TEST_F(TorchModelTest, CudaThatIsNotThereIsFailedPrecondition) {
  SaveLinearModule(path_, 4, 3);
  ModelFile file = FileOf(DataType::kFp32, {-1, 4});
  file.device = Device::kCuda;
  const auto model = LoadTorchModel(file);
  if (model.ok()) GTEST_SKIP() << "this machine has CUDA";
  EXPECT_THAT(model, StatusIs(absl::StatusCode::kFailedPrecondition,
                              HasSubstr("device cuda")));
}

TEST_F(TorchModelTest, ModuleOfAnotherShapeIsRefused) {
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle,
                            WriteModuleBundle(/*outputs=*/5));
  EXPECT_THAT(ServedBundle::Create(bundle, LoadTorchModel, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("got FP32 [1,3], want 'y' FP32 [-1,5]")));
}

TEST_F(TorchModelTest, WorkerProcessServesTheModule) {
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle,
                            WriteModuleBundle(/*outputs=*/3));
  WriteFile(scratch_ / "worker.yaml",
            "id: w1\nbind: \"tcp://127.0.0.1:0\"\nbundles: [{path: bundle}]\n");
  const std::string prefix = "parm-worker ready zmq=";
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto worker, Process::Start({ProgramPath("parm-worker"), "--config",
                                         scratch_ / "worker.yaml"},
                                        scratch_ / "log"));
  PARM_ASSERT_OK_AND_ASSIGN(const std::string ready,
                            worker->WaitForLine(prefix));
  RawFrontend frontend(ready.substr(prefix.size()));
  frontend.SendInfer(1, bundle, {1, 1, 1, 1});
  const auto reply = frontend.ReceiveReply(1);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->envelope->reply().status(), wire::OK);
  EXPECT_THAT(FloatsOf(reply->tensors.at(0)), ElementsAre(6, 10, 14));
}

}  // namespace
}  // namespace parm
