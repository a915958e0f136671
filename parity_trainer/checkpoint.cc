#include "parity_trainer/checkpoint.h"

#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/atomic_file.h"
#include "parity_trainer/torch_tensor.h"

namespace parm {
namespace {

constexpr int64_t kMaxCheckpointBytes = int64_t{1} << 33;

/// Parameters, then buffers: their order is that of registration.
std::vector<at::Tensor> StateOf(const torch::jit::Module& network) {
  std::vector<at::Tensor> state;
  for (const at::Tensor& tensor : network.parameters()) state.push_back(tensor);
  for (const at::Tensor& tensor : network.buffers()) state.push_back(tensor);
  return state;
}

std::string TensorKey(size_t i) { return absl::StrCat("tensor", i); }

absl::Status ReadState(torch::serialize::InputArchive* archive,
                       torch::jit::Module* network) {
  const torch::NoGradGuard no_gradients;
  const std::vector<at::Tensor> state = StateOf(*network);
  for (size_t i = 0; i < state.size(); ++i) {
    at::Tensor saved;
    archive->read(TensorKey(i), saved);
    if (saved.sizes() != state[i].sizes()) {
      return absl::DataLossError(
          absl::StrCat("checkpoint holds another network: tensor ", i));
    }
    state[i].copy_(saved);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SaveCheckpoint(const std::string& path,
                            const std::string& fingerprint,
                            const CheckpointPosition& position,
                            const torch::jit::Module& network,
                            const torch::optim::Optimizer& optimizer) {
  std::ostringstream stream;
  try {
    torch::serialize::OutputArchive archive;
    archive.write("fingerprint", c10::IValue(fingerprint));
    archive.write("step", c10::IValue(position.step));
    archive.write("seconds", c10::IValue(position.seconds));
    const std::vector<at::Tensor> state = StateOf(network);
    for (size_t i = 0; i < state.size(); ++i) {
      archive.write(TensorKey(i), state[i].detach());
    }
    torch::serialize::OutputArchive moments;
    optimizer.save(moments);
    archive.write("optimizer", moments);
    archive.save_to(stream);
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("checkpoint cannot be made: ", FirstLine(error.what())));
  }
  return WriteFileAtomically(path, stream.str());
}

absl::StatusOr<CheckpointPosition> LoadCheckpoint(
    const std::string& path, const std::string& fingerprint,
    torch::jit::Module* network, torch::optim::Optimizer* optimizer) {
  PARM_ASSIGN_OR_RETURN(const std::string contents,
                        ReadWholeFile(path, kMaxCheckpointBytes));
  try {
    torch::serialize::InputArchive archive;
    archive.load_from(contents.data(), contents.size());
    c10::IValue value;
    archive.read("fingerprint", value);
    if (value.toStringRef() != fingerprint) {
      return absl::FailedPreconditionError(absl::StrCat(
          "checkpoint was made with other settings: ", path, " holds \"",
          value.toStringRef(), "\", want \"", fingerprint,
          "\"; use those settings, or drop --resume to begin anew"));
    }
    CheckpointPosition position;
    archive.read("step", value);
    position.step = value.toInt();
    archive.read("seconds", value);
    position.seconds = value.toDouble();
    PARM_RETURN_IF_ERROR(ReadState(&archive, network));
    torch::serialize::InputArchive moments;
    archive.read("optimizer", moments);
    optimizer->load(moments);
    return position;
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat("damaged checkpoint: ", path, ": ",
                                            FirstLine(error.what())));
  }
}

}  // namespace parm
