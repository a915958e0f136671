#include "parity_trainer/half_precision.h"

#include <memory>
#include <optional>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "parity_trainer/graph_optimisation.h"
#include "parity_trainer/torch_tensor.h"
#include "torch/csrc/jit/ir/constants.h"
#include "torch/csrc/jit/ir/ir.h"
#include "torch/csrc/jit/passes/dead_code_elimination.h"
#include "torch/script.h"

namespace parm {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;
using torch::jit::WithInsertPoint;

std::optional<at::Tensor> ConstantTensor(const Value* value) {
  const std::optional<c10::IValue> constant = torch::jit::toIValue(value);
  if (!constant || !constant->isTensor()) return std::nullopt;
  return constant->toTensor();
}

bool IsConvolution(const Node& node) {
  if (node.kind() != at::aten::conv2d &&
      node.kind() != at::aten::_convolution) {
    return false;
  }
  const std::optional<at::Tensor> weight = ConstantTensor(node.input(1));
  return weight && weight->dim() == 4 && weight->scalar_type() == at::kFloat;
}

/// Multiplications whose operands must be of one type.
bool IsProduct(const Node& node) {
  return node.kind() == at::aten::linear || node.kind() == at::aten::matmul ||
         node.kind() == at::aten::addmm || node.kind() == at::aten::mm ||
         node.kind() == at::aten::bmm;
}

/// `value` as `type`, computed where nodes are inserted now.
Value* Cast(Graph* graph, Value* value, at::ScalarType type,
            std::optional<at::MemoryFormat> format = std::nullopt) {
  c10::IValue layout;
  if (format) layout = static_cast<int64_t>(*format);
  return graph->insert(
      at::aten::to, {value, static_cast<int64_t>(type), false, false, layout});
}

void HalveConvolution(Graph* graph, Node* node) {
  const WithInsertPoint here(node);
  node->replaceInput(0, Cast(graph, node->input(0), at::kBFloat16,
                             at::MemoryFormat::ChannelsLast));
  const at::Tensor weight = *ConstantTensor(node->input(1));
  node->replaceInput(1, graph->insertConstant(
                            weight.detach()
                                .to(at::kBFloat16)
                                .contiguous(at::MemoryFormat::ChannelsLast)));
  const std::optional<at::Tensor> bias = ConstantTensor(node->input(2));
  if (bias && bias->defined()) {
    node->replaceInput(2,
                       graph->insertConstant(bias->detach().to(at::kBFloat16)));
  }
  node->output()->setType(c10::TensorType::get());
}

void WidenOperands(Graph* graph, Node* node) {
  const WithInsertPoint here(node);
  for (size_t i = 0; i < node->inputs().size(); ++i) {
    Value* const operand = node->input(i);
    const bool is_tensor =
        operand->type()->isSubtypeOf(*c10::TensorType::get());
    if (!is_tensor || torch::jit::toIValue(operand)) continue;
    node->replaceInput(i, Cast(graph, operand, at::kFloat));
  }
}

/// How many convolutions there were.
int HalveBlock(Graph* graph, Block* block) {
  int halved = 0;
  for (Node* const node : block->nodes()) {
    for (Block* const inner : node->blocks())
      halved += HalveBlock(graph, inner);
    if (IsConvolution(*node)) {
      HalveConvolution(graph, node);
      ++halved;
    } else if (IsProduct(*node)) {
      WidenOperands(graph, node);
    }
  }
  return halved;
}

}  // namespace

absl::StatusOr<std::string> WithHalfConvolutions(
    const std::string& model_bytes) {
  try {
    std::istringstream source(model_bytes);
    torch::jit::Module module = torch::jit::load(source, at::kCPU);
    module.eval();
    // A frozen module lacks the methods that `forward` calls unless they are
    // inlined there, which training switches off.
    const GraphOptimisation inlining(true);
    // Weights become constants of one graph; normalisations fold into them.
    module = torch::jit::freeze(module);
    const std::shared_ptr<Graph> graph = module.get_method("forward").graph();
    if (HalveBlock(graph.get(), graph->block()) == 0) {
      return absl::InvalidArgumentError(
          "model has no convolution of constant FP32 weights to compute in "
          "BF16");
    }
    {
      const WithInsertPoint end(graph->return_node());
      graph->return_node()->replaceInput(
          0, Cast(graph.get(), graph->outputs()[0], at::kFloat));
    }
    torch::jit::EliminateDeadCode(graph);
    std::ostringstream stream;
    module.save(stream);
    return stream.str();
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model cannot be computed in BF16: ", FirstLine(error.what())));
  }
}

}  // namespace parm
