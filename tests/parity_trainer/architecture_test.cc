#include "parity_trainer/architectures/architecture.h"

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/architectures/layers.h"
#include "parity_trainer/half_precision.h"
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
  // Threads that wait for each other are slow on a busy machine.
  torch::set_num_threads(1);
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
    // One of 0 hides what is before it, for the first step.
    for (const auto& parameter : network.named_parameters()) {
      if (absl::EndsWith(parameter.name, "_gain")) {
        const torch::NoGradGuard no_gradients;
        parameter.value.fill_(1);
      }
    }
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

TEST(ArchitectureTest, DeeperCnnStartsAsTheCnnItIsMadeOf) {
  torch::manual_seed(3);
  torch::jit::Module source = Build("cnn", Spec({1, 8, 8}));
  torch::jit::Module network = Build("cnn7", Spec({1, 8, 8}));
  EXPECT_EQ(CopyMatchingState(source, &network),
            static_cast<int>(source.named_parameters().size() +
                             source.named_buffers().size()));
  source.eval();
  network.eval();
  const at::Tensor input = torch::rand({5, 1, 8, 8}) * 255;
  EXPECT_TRUE(torch::equal(source.forward({input}).toTensor(),
                           network.forward({input}).toTensor()));
}

TEST(ArchitectureTest, OneHeadStartsAllHeads) {
  for (const std::string name : {"mlp", "cnn", "cnn4", "cnn7", "resnet20"}) {
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
  for (const std::string name : {"mlp", "cnn", "cnn4", "cnn7", "resnet20"}) {
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

TEST(ArchitectureTest, KeptResolutionSparesWhatTheGridShrank) {
  const auto strides_of = [](int64_t rows, int64_t columns, bool keep) {
    NetworkSpec spec = Spec({1, 32, 32});
    spec.num_heads = rows * columns;
    spec.grid_rows = rows;
    spec.grid_columns = columns;
    spec.keep_resolution = keep;
    Strides strides(spec);
    std::vector<int64_t> all;
    for (const int64_t stride : {1, 2, 2}) {
      Convolution convolution;
      strides.Set(stride, &convolution);
      all.push_back(convolution.row_stride);
      all.push_back(convolution.column_stride);
    }
    return all;
  };
  using testing::ElementsAre;
  EXPECT_THAT(strides_of(1, 2, false), ElementsAre(1, 1, 2, 2, 2, 2));
  EXPECT_THAT(strides_of(1, 2, true), ElementsAre(1, 1, 2, 1, 2, 2));
  EXPECT_THAT(strides_of(2, 2, true), ElementsAre(1, 1, 1, 1, 2, 2));
  EXPECT_THAT(strides_of(3, 4, true), ElementsAre(1, 1, 1, 1, 2, 1));
}

TEST(ArchitectureTest, KeptResolutionTakesTheSameWeights) {
  for (const std::string name : {"cnn", "cnn4", "cnn7", "resnet20"}) {
    NetworkSpec spec = Spec({1, 32, 32});
    torch::jit::Module source = Build(name, spec);
    spec.num_heads = spec.grid_columns = 2;
    spec.keep_resolution = true;
    torch::jit::Module network = Build(name, spec);
    EXPECT_EQ(CopyMatchingState(source, &network),
              static_cast<int>(network.named_parameters().size() +
                               network.named_buffers().size()))
        << name;
    EXPECT_EQ(network.forward({torch::rand({5, 1, 32, 32})}).toTensor().sizes(),
              (std::vector<int64_t>{2, 5, 10}))
        << name;
  }
}

TEST(ArchitectureTest, ChannelsAreNormalisedOneByOne) {
  NetworkSpec spec = Spec({2, 8, 8});
  torch::manual_seed(3);
  torch::jit::Module plain = Build("cnn", spec);
  spec.channel_scale = {1, 2};
  spec.channel_shift = {0, -1};
  torch::manual_seed(3);
  torch::jit::Module network = Build("cnn", spec);
  plain.eval();
  network.eval();
  // 256 on the wire is 1, and times 2 less 1 it is 1 again.
  const at::Tensor same = torch::full({1, 2, 8, 8}, 256.0);
  EXPECT_TRUE(torch::allclose(network.forward({same}).toTensor(),
                              plain.forward({same}).toTensor()));
  const at::Tensor other = torch::full({1, 2, 8, 8}, 64.0);
  EXPECT_FALSE(torch::allclose(network.forward({other}).toTensor(),
                               plain.forward({other}).toTensor()));
}

/// What WithHalfConvolutions makes of it.
torch::jit::Module Halved(const torch::jit::Module& network) {
  std::stringstream stream;
  network.save(stream);
  std::stringstream halved(*WithHalfConvolutions(stream.str()));
  return torch::jit::load(halved);
}

TEST(HalfPrecisionTest, AnswersNearlyAsTheWholeNetwork) {
  for (const std::string name : {"cnn", "cnn4", "cnn7", "resnet20"}) {
    SCOPED_TRACE(name);
    torch::manual_seed(3);
    NetworkSpec spec = Spec({1, 16, 16});
    spec.num_heads = spec.grid_columns = 2;
    torch::jit::Module network = Build(name, spec);
    // Some running means and variances to fold.
    network.forward({torch::rand({64, 1, 16, 16}) * 255});
    network.eval();
    torch::jit::Module halved = Halved(network);
    for (const at::ScalarType type : {at::kFloat, at::kByte}) {
      const at::Tensor input = torch::randint(0, 256, {5, 1, 16, 16}).to(type);
      const at::Tensor want = network.forward({input}).toTensor();
      const at::Tensor got = halved.forward({input}).toTensor();
      ASSERT_EQ(got.scalar_type(), at::kFloat);
      ASSERT_EQ(got.sizes(), want.sizes());
      const double error = (got - want).norm().item<double>();
      EXPECT_GT(error, 0);
      EXPECT_LT(error, 0.03 * want.norm().item<double>());
    }
  }
}

TEST(HalfPrecisionTest, NetworksWithoutConvolutionsAreInvalid) {
  torch::jit::Module network = Build("mlp", Spec({1, 8, 8}));
  network.eval();
  std::stringstream stream;
  network.save(stream);
  EXPECT_THAT(WithHalfConvolutions(stream.str()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("has no convolution")));
  EXPECT_THAT(WithHalfConvolutions("no model").status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cannot be computed in BF16")));
}

TEST(ArchitectureTest, HalfTheWidthIsAboutAQuarterOfTheWeights) {
  for (const std::string name : {"cnn", "cnn4", "cnn7", "resnet20"}) {
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
  EXPECT_THAT(
      BuildArchitecture("vit", Spec({1, 8, 8})).status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("want one of mlp, cnn, cnn4, cnn7, resnet20")));
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
