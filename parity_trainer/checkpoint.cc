#include "parity_trainer/checkpoint.h"

#include <cmath>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/torch_tensor.h"
#include "proto/atomic_file.h"

namespace parm {
namespace {

constexpr int64_t kMaxCheckpointBytes = int64_t{1} << 33;

constexpr char kNow[] = "tensor";
constexpr char kBest[] = "best";

void WriteState(const NetworkState& state, const std::string& name,
                torch::serialize::OutputArchive* archive) {
  for (size_t i = 0; i < state.size(); ++i) {
    archive->write(absl::StrCat(name, i), state[i].detach());
  }
}

/// Into tensors that are there.
absl::Status ReadState(torch::serialize::InputArchive* archive,
                       const std::string& name, const NetworkState& state) {
  const torch::NoGradGuard no_gradients;
  for (size_t i = 0; i < state.size(); ++i) {
    at::Tensor saved;
    archive->read(absl::StrCat(name, i), saved);
    if (saved.sizes() != state[i].sizes()) {
      return absl::DataLossError(
          absl::StrCat("checkpoint holds another network: tensor ", i));
    }
    state[i].copy_(saved);
  }
  return absl::OkStatus();
}

constexpr int64_t kRecordValues = 6;

/// Of each epoch one row; NaN: no samples are held out.
at::Tensor ToTensor(const std::vector<EpochRecord>& history) {
  std::vector<double> values;
  for (const EpochRecord& record : history) {
    values.insert(
        values.end(),
        {static_cast<double>(record.epoch), static_cast<double>(record.step),
         record.loss, record.learning_rate, record.seconds,
         record.held_out_accuracy.value_or(std::nan(""))});
  }
  return torch::tensor(values, torch::kDouble)
      .view({static_cast<int64_t>(history.size()), kRecordValues});
}

absl::StatusOr<std::vector<EpochRecord>> ToHistory(const at::Tensor& tensor) {
  if (tensor.dim() != 2 || tensor.size(1) != kRecordValues ||
      tensor.scalar_type() != torch::kDouble) {
    return absl::DataLossError("checkpoint's history has another form");
  }
  const at::Tensor values = tensor.contiguous();
  std::vector<EpochRecord> history;
  for (int64_t row = 0; row < values.size(0); ++row) {
    const double* const from = values.data_ptr<double>() + row * kRecordValues;
    EpochRecord record = {.epoch = static_cast<int64_t>(from[0]),
                          .step = static_cast<int64_t>(from[1]),
                          .loss = from[2],
                          .learning_rate = from[3],
                          .seconds = from[4]};
    if (!std::isnan(from[5])) record.held_out_accuracy = from[5];
    history.push_back(record);
  }
  return history;
}

int64_t ReadInt(torch::serialize::InputArchive* archive,
                const std::string& key) {
  c10::IValue value;
  archive->read(key, value);
  return value.toInt();
}

double ReadDouble(torch::serialize::InputArchive* archive,
                  const std::string& key) {
  c10::IValue value;
  archive->read(key, value);
  return value.toDouble();
}

}  // namespace

NetworkState StateOf(const torch::jit::Module& network) {
  NetworkState state;
  for (const at::Tensor& tensor : network.parameters()) state.push_back(tensor);
  for (const at::Tensor& tensor : network.buffers()) state.push_back(tensor);
  return state;
}

absl::StatusOr<std::string> SerializeCheckpoint(
    const std::string& fingerprint, const CheckpointPosition& position,
    const torch::jit::Module& network,
    const torch::optim::Optimizer& optimizer) {
  std::ostringstream stream;
  try {
    torch::serialize::OutputArchive archive;
    archive.write("fingerprint", c10::IValue(fingerprint));
    archive.write("step", c10::IValue(position.step));
    archive.write("seconds", c10::IValue(position.seconds));
    archive.write("best_epoch", c10::IValue(position.best_epoch));
    archive.write("best_accuracy", c10::IValue(position.best_accuracy));
    archive.write("history", ToTensor(position.history));
    archive.write("loss_sum", c10::IValue(position.loss_sum));
    WriteState(StateOf(network), kNow, &archive);
    WriteState(position.best, kBest, &archive);
    torch::serialize::OutputArchive moments;
    optimizer.save(moments);
    archive.write("optimizer", moments);
    archive.save_to(stream);
  } catch (const std::exception& error) {
    return absl::InternalError(
        absl::StrCat("checkpoint cannot be made: ", FirstLine(error.what())));
  }
  return stream.str();
}

absl::StatusOr<CheckpointPosition> ParseCheckpoint(
    const std::string& contents, const std::string& origin,
    const std::string& fingerprint, torch::jit::Module* network,
    torch::optim::Optimizer* optimizer) {
  try {
    torch::serialize::InputArchive archive;
    archive.load_from(contents.data(), contents.size());
    c10::IValue value;
    archive.read("fingerprint", value);
    if (value.toStringRef() != fingerprint) {
      return absl::FailedPreconditionError(absl::StrCat(
          "checkpoint was made with other settings: ", origin, " holds \"",
          value.toStringRef(), "\", want \"", fingerprint,
          "\"; use those settings, or drop --resume to begin anew"));
    }
    CheckpointPosition position;
    position.step = ReadInt(&archive, "step");
    position.seconds = ReadDouble(&archive, "seconds");
    position.best_epoch = ReadInt(&archive, "best_epoch");
    position.best_accuracy = ReadDouble(&archive, "best_accuracy");
    // Checkpoints from before there was a history go on without theirs.
    if (at::Tensor history; archive.try_read("history", history)) {
      PARM_ASSIGN_OR_RETURN(position.history, ToHistory(history));
      position.loss_sum = ReadDouble(&archive, "loss_sum");
    }
    const NetworkState state = StateOf(*network);
    PARM_RETURN_IF_ERROR(ReadState(&archive, kNow, state));
    if (position.best_epoch > 0) {
      for (const at::Tensor& tensor : state) {
        position.best.push_back(torch::empty_like(tensor));
      }
      PARM_RETURN_IF_ERROR(ReadState(&archive, kBest, position.best));
    }
    torch::serialize::InputArchive moments;
    archive.read("optimizer", moments);
    optimizer->load(moments);
    return position;
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat("damaged checkpoint: ", origin,
                                            ": ", FirstLine(error.what())));
  }
}

absl::Status SaveCheckpoint(const std::string& path,
                            const std::string& fingerprint,
                            const CheckpointPosition& position,
                            const torch::jit::Module& network,
                            const torch::optim::Optimizer& optimizer) {
  PARM_ASSIGN_OR_RETURN(
      const std::string contents,
      SerializeCheckpoint(fingerprint, position, network, optimizer));
  return WriteFileAtomically(path, contents);
}

absl::StatusOr<CheckpointPosition> LoadCheckpoint(
    const std::string& path, const std::string& fingerprint,
    torch::jit::Module* network, torch::optim::Optimizer* optimizer) {
  PARM_ASSIGN_OR_RETURN(const std::string contents,
                        ReadWholeFile(path, kMaxCheckpointBytes));
  return ParseCheckpoint(contents, path, fingerprint, network, optimizer);
}

}  // namespace parm
