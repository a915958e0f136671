"""What the tests of drivers share: whether what these started has ended."""

import time

PATIENCE_S = 200


def is_running(pid, word):
    """Whether this process runs, with `word` on its command line: another may
    have its number by now.
    """
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            return word in file.read()  # a zombie's is empty
    except OSError:
        return False


def eventually(condition):
    """Whether it holds within PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
