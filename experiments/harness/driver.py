"""How a driver of experiments ends: SIGINT and SIGTERM become one exception,
so that it ends its children in order; errors become a sentence.
"""

import signal
import subprocess
import sys

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked this driver to end. No `except Exception` stops it."""

    def __init__(self, number):
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_status = 128 + number


def _interrupt(number, _frame):
    # Later signals change nothing: the driver is ending already, and gives its
    # children limited time.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def run(name, main):
    """Exits with what main() returns; 1 after an error, 128 + N after signal
    N, each told in one line.
    """
    for each in _SIGNALS:
        signal.signal(each, _interrupt)
    try:
        sys.exit(main())
    except Interrupted as interruption:
        print(f"{name}: {interruption}", file=sys.stderr)
        sys.exit(interruption.exit_status)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
