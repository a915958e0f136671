#include "parity_trainer/architectures/architecture.h"

#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "torch/csrc/jit/python/update_graph_executor_opt.h"
#include "torch/script.h"
#include "torch/torch.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

NetworkSpec Spec(std::vector<int64_t> sample_shape) {
  return {.sample_shape = std::move(sample_shape),
          .num_outputs = 10,
          .input_scale = 1.0 / 128,
          .input_shift = -1};
}

torch::jit::Module Build(const std::string& name, const NetworkSpec& spec) {
  // As in training. To optimise a graph takes longer than to run it here.
  torch::jit::setGraphExecutorOptimize(false);
  return *BuildArchitecture(name, spec);
}

TEST(ArchitectureTest, EveryNetworkAnswersLogitsForItsShape) {
  for (const std::string& name : ArchitectureNames()) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{1, 28, 28}, {3, 32, 32}, {2, 9, 15}}) {
      SCOPED_TRACE(name);
      torch::jit::Module network = Build(name, Spec(shape));
      const at::Tensor answer =
          network.forward({torch::rand({5, shape[0], shape[1], shape[2]})})
              .toTensor();
      EXPECT_EQ(answer.sizes(), (std::vector<int64_t>{5, 10}));
    }
  }
}

TEST(ArchitectureTest, BytesAndFloatsOfOneUnitAnswerAlike) {
  for (const std::string& name : ArchitectureNames()) {
    torch::manual_seed(3);
    torch::jit::Module network = Build(name, Spec({1, 8, 8}));
    const at::Tensor bytes = torch::randint(0, 256, {4, 1, 8, 8}, at::kByte);
    EXPECT_TRUE(
        torch::equal(network.forward({bytes}).toTensor(),
                     network.forward({bytes.to(at::kFloat)}).toTensor()))
        << name;
  }
}

TEST(ArchitectureTest, SavedNetworkAnswersAsBefore) {
  for (const std::string& name : ArchitectureNames()) {
    torch::manual_seed(3);
    torch::jit::Module network = Build(name, Spec({1, 8, 8}));
    const at::Tensor input = torch::rand({4, 1, 8, 8}) * 255;
    std::stringstream stream;
    network.save(stream);
    torch::jit::Module loaded = torch::jit::load(stream);
    EXPECT_TRUE(torch::equal(network.forward({input}).toTensor(),
                             loaded.forward({input}).toTensor()))
        << name;
  }
}

TEST(ArchitectureTest, EveryParameterLearns) {
  for (const std::string& name : ArchitectureNames()) {
    torch::manual_seed(3);
    torch::jit::Module network = Build(name, Spec({1, 8, 8}));
    network.forward({torch::rand({4, 1, 8, 8}) * 255})
        .toTensor()
        .sum()
        .backward();
    for (const auto& parameter : network.named_parameters()) {
      ASSERT_TRUE(parameter.value.grad().defined()) << parameter.name;
      EXPECT_GT(parameter.value.grad().abs().sum().item<float>(), 0)
          << name << " " << parameter.name;
    }
  }
}

TEST(ArchitectureTest, ParmsMlpHasItsWidths) {
  torch::jit::Module network = Build("mlp", Spec({1, 28, 28}));
  EXPECT_EQ(network.attr("first_weight").toTensor().sizes(),
            (std::vector<int64_t>{200, 784}));
  EXPECT_EQ(network.attr("second_weight").toTensor().sizes(),
            (std::vector<int64_t>{100, 200}));
  EXPECT_EQ(network.attr("head_weight").toTensor().sizes(),
            (std::vector<int64_t>{10, 100}));
}

TEST(ArchitectureTest, CopyTakesWhatMatchesInNameAndShape) {
  torch::manual_seed(3);
  const torch::jit::Module source = Build("mlp", Spec({1, 8, 8}));
  torch::jit::Module same = Build("mlp", Spec({1, 8, 8}));
  EXPECT_EQ(CopyMatchingState(source, &same), 6);
  EXPECT_TRUE(torch::equal(same.attr("first_weight").toTensor(),
                           source.attr("first_weight").toTensor()));
  // Another input size leaves the first weight out.
  torch::jit::Module larger = Build("mlp", Spec({1, 9, 9}));
  EXPECT_EQ(CopyMatchingState(source, &larger), 5);
}

TEST(ArchitectureTest, OneHeadStartsAllHeads) {
  for (const std::string name : {"mlp", "cnn", "resnet20"}) {
    SCOPED_TRACE(name);
    torch::manual_seed(3);
    NetworkSpec spec = Spec({1, 8, 8});
    torch::jit::Module source = Build(name, spec);
    spec.num_heads = 3;
    torch::jit::Module network = Build(name, spec);
    const auto parameters = network.named_parameters();
    const auto buffers = network.named_buffers();
    EXPECT_EQ(CopyMatchingState(source, &network),
              static_cast<int>(parameters.size() + buffers.size()));
    // Every head then answers as the source does.
    source.eval();
    network.eval();
    const at::Tensor input = torch::rand({5, 1, 8, 8}) * 255;
    const at::Tensor want = source.forward({input}).toTensor();
    const at::Tensor got = network.forward({input}).toTensor();
    ASSERT_EQ(got.sizes(), (std::vector<int64_t>{3, 5, 10}));
    for (int64_t head = 0; head < 3; ++head) {
      EXPECT_TRUE(torch::allclose(got[head], want, 1e-4, 1e-4)) << head;
    }
  }
}

TEST(ArchitectureTest, HeadsOfAGridSeeTheirOwnCell) {
  // A change up to a cell's edges moves no head but its own; the fourth cell
  // belongs to no head.
  torch::manual_seed(3);
  NetworkSpec spec = Spec({1, 32, 32});
  spec.num_heads = 3;
  spec.grid_rows = spec.grid_columns = 2;
  for (const std::string name : {"mlp", "cnn", "resnet20"}) {
    torch::jit::Module network = Build(name, spec);
    network.eval();
    const at::Tensor plain = torch::full({1, 1, 32, 32}, 128.0);
    const at::Tensor before = network.forward({plain}).toTensor();
    ASSERT_EQ(before.sizes(), (std::vector<int64_t>{3, 1, 10}));
    for (int64_t cell = 0; cell < 4; ++cell) {
      at::Tensor changed = plain.clone();
      changed.narrow(2, cell / 2 * 16, 16)
          .narrow(3, cell % 2 * 16, 16)
          .fill_(255);
      const at::Tensor after = network.forward({changed}).toTensor();
      for (int64_t head = 0; head < 3; ++head) {
        EXPECT_EQ(torch::equal(after[head], before[head]), head != cell)
            << name << ", cell " << cell << ", head " << head;
      }
    }
  }
}

TEST(ArchitectureTest, HalfTheWidthIsAboutAQuarterOfTheWeights) {
  for (const std::string name : {"cnn", "resnet20"}) {
    NetworkSpec spec = Spec({1, 28, 28});
    const auto count = [&name](const NetworkSpec& of) {
      double weights = 0;
      for (const at::Tensor& weight : Build(name, of).parameters()) {
        weights += static_cast<double>(weight.numel());
      }
      return weights;
    };
    const double whole = count(spec);
    spec.width = 0.5;
    EXPECT_NEAR(count(spec) / whole, 0.25, 0.02) << name;
  }
}

TEST(ArchitectureTest, UnknownNameListsTheKnown) {
  EXPECT_THAT(BuildArchitecture("vit", Spec({1, 8, 8})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("want one of mlp, cnn, resnet20")));
}

TEST(ArchitectureTest, UnsuitableShapesAreInvalid) {
  EXPECT_THAT(BuildArchitecture("cnn", Spec({64})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("got [64], want [channels,height,width]")));
  EXPECT_THAT(BuildArchitecture("cnn", Spec({1, 7, 8})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(BuildArchitecture("mlp", Spec({0})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace parm
