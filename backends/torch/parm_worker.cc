// parm-worker: serves TorchScript bundles.

#include "backends/torch/torch_model.h"
#include "backends/worker_main.h"

int main(int argc, char** argv) {
  return parm::WorkerMain(argc, argv, parm::LoadTorchModel);
}
