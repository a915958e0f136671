#!/usr/bin/env bash
# parm-frontend before four real servers of KServe's SDK, one of which is stopped
# for a second every ten: what clients wait, without redundancy and with each
# kind. Parity on two further servers.
# Bootstraps, builds, trains two small models (cached), installs KServe's SDK
# from PyPI into build/servers/kserve, runs, prints a table. About 4 minutes when
# all is there; everything it starts it ends.
#   examples/kserve/run.sh [--seconds N] [--repeats N]
#     [--policies round_robin,none,hedge,coded,hybrid]
#     [--protocol http|grpc] [--parity-on workers|servers]
# Exit status: 0 done, 1 failed, 3 the load could not be sent on time, 130 or
# 143 ended by Ctrl-C or SIGTERM.
# shellcheck source=examples/run_example.sh
. "$(dirname "${BASH_SOURCE[0]}")/../run_example.sh" kserve "$@"
