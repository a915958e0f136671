#pragma once

// The main function of every worker program; they differ in their models.

#include "backends/model.h"

namespace parm {

/// Reads the command line and the configuration, loads and warms up the
/// bundles, prints the ready line, serves until a drain has ended.
/// Returns the exit status: 0 after a drain, --help, --version or a good
/// --check-config; 2 for a wrong command line; 1 otherwise; with a
/// sentence on stderr.
int WorkerMain(int argc, char** argv, const ModelLoader& load_model);

}  // namespace parm
