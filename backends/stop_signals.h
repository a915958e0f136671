#pragma once

// SIGTERM and SIGINT: the first one drains, a second one ends the process at
// once, whatever its threads do.

namespace parm {

class WorkerLoop;

/// From here on signals go to `loop`, which must outlive the process's last
/// signal or be taken back with nullptr. Before the first call the default
/// holds: a signal ends the process.
/// Threads: one.
void DrainOnStopSignals(WorkerLoop* loop);

}  // namespace parm
