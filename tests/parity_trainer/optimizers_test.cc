#include "parity_trainer/optimizers.h"

#include <cstdint>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/architectures/architecture.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr double kRate = 0.05;

torch::jit::Module Network(const char* name) {
  torch::manual_seed(5);
  return *BuildArchitecture(name,
                            {.sample_shape = {1, 8, 8}, .num_outputs = 3});
}

void ComputeGradients(torch::jit::Module* network) {
  for (at::Tensor parameter : network->parameters()) {
    parameter.mutable_grad() = at::Tensor();
  }
  torch::manual_seed(7);
  const at::Tensor answer =
      network->forward({torch::rand({4, 1, 8, 8})}).toTensor();
  torch::mse_loss(answer, torch::rand({4, 3})).backward();
}

/// By their names, as they are now.
c10::Dict<std::string, at::Tensor> CopyOf(const torch::jit::Module& network) {
  c10::Dict<std::string, at::Tensor> copies;
  for (const auto& [name, value] : network.named_parameters()) {
    copies.insert(name, value.detach().clone());
  }
  return copies;
}

TEST(OrthogonaliseTest, SingularValuesComeNearOne) {
  torch::manual_seed(1);
  for (const auto& [rows, columns] : {std::pair(6, 20), {20, 6}}) {
    const std::vector<int64_t> shape = {rows, columns};
    const at::Tensor matrix = torch::randn(shape);
    const at::Tensor near = Orthogonalise(matrix);
    ASSERT_EQ(near.sizes(), at::IntArrayRef(shape));
    const at::Tensor values = std::get<1>(torch::svd(near));
    EXPECT_GT(values.min().item<double>(), 0.6);
    EXPECT_LT(values.max().item<double>(), 1.3);
    // The nearest such matrix is U V' of the same singular vectors.
    const auto [u, unused, v] = torch::svd(matrix);
    EXPECT_GT((near * u.mm(v.t())).sum().item<double>(), 0.8 * 6);
  }
}

TEST(OrthogonaliseTest, ZerosStayZeros) {
  EXPECT_TRUE(
      torch::equal(Orthogonalise(torch::zeros({3, 5})), torch::zeros({3, 5})));
}

TEST(MuonTest, WeightsTurnByTheRateAndKeepTheirNorms) {
  at::set_num_threads(1);
  torch::jit::Module network = Network("cnn7");
  const auto before = CopyOf(network);
  const Recipe recipe = {.learning_rate = kRate, .optimizer = "muon"};
  const auto optimizer = MakeOptimizer(recipe, network);
  ComputeGradients(&network);
  optimizer->step();
  int turned = 0;
  for (const auto& [name, now] : network.named_parameters()) {
    if (now.dim() != 4) continue;
    SCOPED_TRACE(name);
    const at::Tensor old = before.at(name);
    const double norm = old.norm().item<double>();
    EXPECT_NEAR(now.norm().item<double>() / norm, 1, 1e-5);
    const double moved = (now - old).norm().item<double>() / norm;
    // What adds nothing yet has no gradient, except at its gain.
    if (moved == 0) continue;
    ++turned;
    EXPECT_NEAR(moved, kRate, 0.2 * kRate);
  }
  EXPECT_EQ(turned, 5);
}

TEST(MuonTest, HeadsGainsAndBiasesLearnBySgdAtThreeTimesTheRate) {
  at::set_num_threads(1);
  torch::jit::Module muon = Network("cnn");
  torch::jit::Module sgd = Network("cnn");
  const Recipe recipe = {.learning_rate = kRate, .optimizer = "muon"};
  const Recipe other = {.learning_rate = 3 * kRate, .optimizer = "sgd"};
  const auto by_muon = MakeOptimizer(recipe, muon);
  const auto by_sgd = MakeOptimizer(other, sgd);
  SetRateShare(recipe, 0.5, by_muon.get());
  SetRateShare(other, 0.5, by_sgd.get());
  ComputeGradients(&muon);
  ComputeGradients(&sgd);
  const auto before = CopyOf(muon);
  by_muon->step();
  by_sgd->step();
  const auto expected = CopyOf(sgd);
  int compared = 0;
  for (const auto& [name, now] : muon.named_parameters()) {
    if (now.dim() == 4) continue;
    SCOPED_TRACE(name);
    EXPECT_FALSE(torch::equal(now, before.at(name)));
    EXPECT_TRUE(torch::allclose(now, expected.at(name)));
    ++compared;
  }
  EXPECT_EQ(compared, 2 * 5 + 2);
}

TEST(MuonTest, WeightOfZerosIsLeftToSgd) {
  at::set_num_threads(1);
  torch::jit::Module network = Network("mlp");
  const at::Tensor first = ParametersOf(network)[0];
  {
    const torch::NoGradGuard no_gradients;
    first.zero_();
  }
  const auto optimizer =
      MakeOptimizer({.learning_rate = kRate, .optimizer = "muon"}, network);
  ComputeGradients(&network);
  first.mutable_grad() = torch::ones_like(first);
  optimizer->step();
  EXPECT_LT(first.max().item<double>(), 0);
}

TEST(MuonTest, LoadedOptimizerGoesOnBitByBit) {
  at::set_num_threads(1);
  const Recipe recipe = {.learning_rate = kRate, .optimizer = "muon"};
  torch::jit::Module network = Network("cnn");
  const auto optimizer = MakeOptimizer(recipe, network);
  for (int step = 0; step < 3; ++step) {
    ComputeGradients(&network);
    optimizer->step();
  }
  std::stringstream stream;
  torch::serialize::OutputArchive saved;
  optimizer->save(saved);
  saved.save_to(stream);

  torch::jit::Module copy = Network("cnn");
  {
    const torch::NoGradGuard no_gradients;
    const auto parameters = CopyOf(network);
    for (const auto& [name, value] : copy.named_parameters()) {
      value.copy_(parameters.at(name));
    }
  }
  const auto restored = MakeOptimizer(recipe, copy);
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  restored->load(archive);
  ComputeGradients(&network);
  ComputeGradients(&copy);
  optimizer->step();
  restored->step();
  const auto expected = CopyOf(network);
  for (const auto& [name, now] : copy.named_parameters()) {
    EXPECT_TRUE(torch::equal(now, expected.at(name))) << name;
  }
}

}  // namespace
}  // namespace parm
