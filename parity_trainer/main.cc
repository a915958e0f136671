// parm-train: trains deployed and parity models, measures them, writes bundles.

#include <malloc.h>

#include <cstdio>
#include <limits>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/architectures/architecture.h"
#include "parity_trainer/backup_command.h"
#include "parity_trainer/berrut_command.h"
#include "parity_trainer/deployed_command.h"
#include "parity_trainer/evaluate_command.h"
#include "parity_trainer/export_command.h"
#include "parity_trainer/frontier_command.h"
#include "parity_trainer/model_runner.h"
#include "parity_trainer/parity_command.h"
#include "parity_trainer/training_peers.h"

namespace parm {
namespace {

constexpr int kUsageError = 2;
constexpr int kInterruptedExit = 130;

constexpr char kDescription[] =
    "Trains deployed models and parity models, measures how well lost answers\n"
    "are reconstructed, and writes bundles for parm-worker.\n\n"
    "  parm-train deployed --data idx:/usr/share/datasets/fashion-mnist \\\n"
    "      --arch mlp --out bundles/fashion\n"
    "  parm-train parity --deployed bundles/fashion --scheme sum --k 2 \\\n"
    "      --data idx:/usr/share/datasets/fashion-mnist --out bundles/sum2\n"
    "  parm-train evaluate --deployed bundles/fashion --parity bundles/sum2 "
    "\\\n"
    "      --data idx:/usr/share/datasets/fashion-mnist --json report.json\n\n"
    "Exit status: 0 done, 1 an error, 2 a wrong command line, 130 interrupted\n"
    "(the checkpoint holds the work; --resume goes on).";

/// Every step frees and takes the same tensors. What glibc gave back to the
/// kernel in between would come back page by page, zeroed anew: a third of the
/// CPU time of training a small CNN.
void KeepFreedMemory() {
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that it takes
}

CLI::Option* AddData(CLI::App* command, DataOptions* data) {
  CLI::Option* const source = command->add_option(
      "--data", data->source,
      "idx:DIR (MNIST's files, gzip or plain), npy:DIR (train_x,\n"
      "train_y, test_x, test_y .npy), or queries:DIR (any .npy,\n"
      "unlabelled: what a frontend captured)");
  command
      ->add_option("--limit-train", data->limit_train,
                   "use only the first N training samples")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--limit-test", data->limit_test,
                   "use only the first N test samples")
      ->check(CLI::PositiveNumber);
  return source;
}

void AddTraining(CLI::App* command, TrainingOptions* training) {
  command->add_option("--recipe", training->recipe,
                      "a YAML file of training settings; flags go before it");
  command->add_option("--epochs", training->epochs, "passes over the data")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--minibatch", training->minibatch,
                   "samples, or coding groups, per step")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--learning-rate", training->learning_rate, "at its height")
      ->check(CLI::PositiveNumber);
  command->add_flag("--resume", training->resume,
                    "go on from the checkpoint, if there is one");
  command->add_flag("--force", training->force,
                    "replace what is at --out, or an earlier checkpoint");
  command->add_option("--checkpoint", training->checkpoint,
                      "the checkpoint's file; default: OUT.checkpoint");
  command->add_option("--log", training->log,
                      "write a line of JSON per epoch there; it is in the\n"
                      "bundle, too, as training.jsonl");
}

void AddDeployed(CLI::App* command, DeployedOptions* options) {
  AddData(command, &options->data);
  AddTraining(command, &options->training);
  command->add_option("--arch", options->arch, "network to train")
      ->check(CLI::IsMember(ArchitectureNames()))
      ->capture_default_str();
  command->add_option(
      "--model", options->model_file,
      "a TorchScript file of yours; it is checked on the data,\n"
      "nothing is trained");
  command
      ->add_option("--sample-shape", options->sample_shape,
                   "with --model, instead of --data: dimensions of its\n"
                   "input without the batch, such as 1,28,28")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  command->add_option("--datatype", options->datatype, "of the wire input")
      ->check(CLI::IsMember({"fp32", "uint8"}))
      ->capture_default_str();
  command
      ->add_option("--classes", options->data.num_classes,
                   "number of classes; default: as the labels show")
      ->check(CLI::PositiveNumber);
  command->add_option("--name", options->name,
                      "the model's name; default: last part of --out");
  command->add_option("--model-version", options->version)
      ->capture_default_str();
  command->add_option("--out", options->out, "the bundle to write")->required();
}

void AddParity(CLI::App* command, ParityOptions* options) {
  AddData(command, &options->data)->required();
  AddTraining(command, &options->training);
  command->add_option("--deployed", options->deployed, "the deployed bundle")
      ->required();
  command
      ->add_option("--scheme", options->scheme,
                   "trained: sum, weighted, concat, tile, stack; or pack\n"
                   "(exact: the deployed model itself answers the members\n"
                   "side by side)")
      ->capture_default_str();
  command->add_option("--k", options->k, "members of a coding group")
      ->capture_default_str();
  command
      ->add_option("--r", options->r,
                   "parity models, weighted only: --out is then a folder of\n"
                   "bundles 0, 1 ..")
      ->capture_default_str();
  command->add_option("--arch", options->arch,
                      "network to train; default: the deployed model's");
  command
      ->add_option("--loss", options->training.loss,
                   "decoded (default): on the reconstructions; mse: on the\n"
                   "parity model's answer, as ParM")
      ->check(CLI::IsMember({"decoded", "mse"}));
  command->add_option(
      "--init", options->training.init,
      "deployed (default): start from its weights where shapes\n"
      "allow; scratch: from random ones, as ParM; or a bundle:\n"
      "from its weights, such as those of a smaller k");
  command->add_option("--model", options->model_file,
                      "pack only: a TorchScript file that answers instead");
  command->add_flag("--half", options->half,
                    "the network, or the packed model, in a copy with\n"
                    "convolutions in BF16: cheaper where the CPU has it");
  command->add_option("--out", options->out, "the bundle to write")->required();
}

void AddBackup(CLI::App* command, BackupOptions* options) {
  AddData(command, &options->data)->required();
  AddTraining(command, &options->training);
  command->add_option("--deployed", options->deployed, "the deployed bundle")
      ->required();
  command->add_option("--arch", options->arch,
                      "network to train; default: the deployed model's");
  command
      ->add_option("--work-fraction", options->work_fraction,
                   "multiplications over the deployed model's, about")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--out", options->out, "the bundle to write")->required();
}

void AddEvaluate(CLI::App* command, EvaluateOptions* options) {
  AddData(command, &options->data)->required();
  command->add_option("--deployed", options->deployed, "the deployed bundle")
      ->required();
  command->add_option("--parity", options->parity,
                      "the parity bundle, or the folder of a code's several;\n"
                      "without it, A_a alone");
  command->add_option("--json", options->json_file,
                      "write a_a, a_d (losses -> accuracy) with its standard\n"
                      "error, figures per class, ECE, risk against coverage");
  command->add_option("--picture", options->picture_file,
                      "write stated against found probability, and accuracy\n"
                      "against coverage, SVG");
  command
      ->add_option("--require-a-d", options->require_a_d,
                   "exit with 1 if A_d at one loss is below this fraction")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--logits", options->logits_file,
                      "write the deployed model's test outputs, .npy");
}

void AddFrontier(CLI::App* command, FrontierOptions* options) {
  AddData(command, &options->data)->required();
  command->add_option("--deployed", options->deployed, "the deployed bundle")
      ->required();
  command
      ->add_option("--parity", options->parities,
                   "parity bundles; pack of the deployed model comes by itself")
      ->required();
  command->add_option("--berrut", options->training_free,
                      "k of training-free codes with one worker more");
  command->add_option("--json", options->json_file,
                      "write cost, bytes and accuracies of every unit");
  command->add_option("--picture", options->picture_file,
                      "write accuracy against extra server time, SVG");
}

void AddBerrut(CLI::App* command, BerrutCommandOptions* options) {
  AddData(command, &options->data)->required();
  command->add_option("--deployed", options->deployed, "the deployed bundle")
      ->required();
  command->add_option("--k", options->k, "queries of a group")
      ->capture_default_str();
  command
      ->add_option("--stragglers", options->stragglers,
                   "workers beyond k, and answers that are missing")
      ->capture_default_str();
  command->add_option("--json", options->json_file,
                      "write the accuracies and their standard errors");
}

/// The processes that a launcher started beside this one, if any.
absl::StatusOr<std::unique_ptr<TrainingPeers>> Join() {
  PARM_ASSIGN_OR_RETURN(const PeerOptions options,
                        PeerOptionsFromEnvironment());
  return JoinPeers(options);
}

int Fail(const absl::Status& status, const TrainingPeers* peers) {
  const std::string rank =
      peers == nullptr ? "" : absl::StrCat("rank ", peers->rank(), ": ");
  std::fprintf(stderr, "parm-train: %s%s\n", rank.c_str(),
               std::string(status.message()).c_str());
  return absl::IsCancelled(status) ? kInterruptedExit : 1;
}

void AddExport(CLI::App* command, ExportOptions* options) {
  command->add_option("--bundle", options->bundle, "what to export")
      ->required();
  command
      ->add_option("--format", options->format,
                   "triton: a model of a repository, for the python backend;\n"
                   "mlserver: likewise; torchscript: the file alone")
      ->check(CLI::IsMember({"triton", "mlserver", "torchscript"}))
      ->capture_default_str();
  command->add_option("--name", options->name,
                      "of the model there; default: last part of --bundle");
  command->add_option("--out", options->out, "the repository, or the file")
      ->required();
  command->add_flag("--force", options->force, "replace a model of that name");
}

int Main(int argc, char** argv) {
  CLI::App app(kDescription, "parm-train");
  app.set_version_flag("--version", "parm-train " PARM_VERSION);
  app.require_subcommand(1);
  DeployedOptions deployed;
  ParityOptions parity;
  BackupOptions backup;
  EvaluateOptions evaluate;
  FrontierOptions frontier;
  BerrutCommandOptions berrut;
  ExportOptions exported;
  uint64_t seed = 1;
  int threads = 1;
  CLI::App* const deployed_command =
      app.add_subcommand("deployed", "make a deployed bundle");
  CLI::App* const parity_command =
      app.add_subcommand("parity", "make a parity bundle for a deployed one");
  CLI::App* const backup_command = app.add_subcommand(
      "backup", "distil a narrower model, for pack and as a rival");
  CLI::App* const evaluate_command =
      app.add_subcommand("evaluate", "measure A_a and A_d on the test set");
  CLI::App* const frontier_command = app.add_subcommand(
      "frontier", "compare units of redundancy: cost, bytes, accuracy");
  CLI::App* const berrut_command = app.add_subcommand(
      "berrut", "measure a training-free code, which no frontend serves");
  CLI::App* const export_command = app.add_subcommand(
      "export", "write a bundle's model for Triton, MLServer or torch");
  AddExport(export_command, &exported);
  AddDeployed(deployed_command, &deployed);
  AddParity(parity_command, &parity);
  AddBackup(backup_command, &backup);
  AddEvaluate(evaluate_command, &evaluate);
  AddFrontier(frontier_command, &frontier);
  AddBerrut(berrut_command, &berrut);
  for (CLI::App* command :
       {deployed_command, parity_command, backup_command, evaluate_command,
        frontier_command, berrut_command}) {
    command->add_option("--seed", seed, "of all that is random")
        ->capture_default_str();
    command->add_option("--threads", threads, "for one operator")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }

  KeepFreedMemory();
  SetNumThreads(threads);
  const bool trains = deployed_command->parsed() || parity_command->parsed() ||
                      backup_command->parsed();
  const absl::StatusOr<std::unique_ptr<TrainingPeers>> peers =
      trains ? Join() : nullptr;
  if (!peers.ok()) return Fail(peers.status(), nullptr);
  for (TrainingOptions* training :
       {&deployed.training, &parity.training, &backup.training}) {
    training->peers = peers->get();
  }
  deployed.training.seed = seed;
  parity.training.seed = seed;
  backup.training.seed = seed;
  berrut.seed = seed;
  frontier.seed = seed;
  const absl::StatusOr<std::string> line =
      deployed_command->parsed()   ? RunDeployedCommand(deployed)
      : parity_command->parsed()   ? RunParityCommand(parity)
      : backup_command->parsed()   ? RunBackupCommand(backup)
      : frontier_command->parsed() ? RunFrontierCommand(frontier)
      : berrut_command->parsed()   ? RunBerrutCommand(berrut)
      : export_command->parsed()   ? RunExportCommand(exported)
                                   : RunEvaluateCommand(evaluate);
  if (!line.ok()) return Fail(line.status(), peers->get());
  std::printf("%s\n", line->c_str());
  return 0;
}

}  // namespace
}  // namespace parm

int main(int argc, char** argv) { return parm::Main(argc, argv); }
