#pragma once

// Ctrl-C as a question that long work asks between two steps.

namespace parm {

/// From here on SIGINT and SIGTERM are remembered instead of ending the
/// process; a second one ends it at once.
void CatchInterrupts();

/// Whether one has come.
/// Threads: any.
bool Interrupted();

}  // namespace parm
