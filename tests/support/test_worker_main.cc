// parm-test-worker: parm-worker with the linear model of the tests instead of
// torch, for sanitizer builds and for answers that can be checked exactly.

#include "backends/worker_main.h"
#include "tests/support/linear_model.h"

int main(int argc, char** argv) {
  return parm::WorkerMain(argc, argv, parm::LoadLinearModel);
}
