"""What the proxies that people run today have in common here: where the program
is, where its files lie, and when it is ready.
"""

import os
import shutil
import time

from experiments.harness.frontend import http_get

READY_S = 60


def find(name, variable):
    """The program's path, that of the environment variable before that of the
    system; None without.
    """
    return os.environ.get(variable) or shutil.which(
        name, path=os.environ.get("PATH", "") + ":/usr/sbin")


class Proxy:
    """Its files lie in `folder`; NAME is its process in `processes`."""

    NAME = ""
    VARIABLE = ""  # names the program, if it is not the system's

    def __init__(self, processes, folder):
        self._processes = processes
        self._folder = os.path.abspath(folder)

    def _required(self, program):
        if program is None:
            raise RuntimeError(
                f"{self.NAME} is not installed: apt-get install {self.NAME}, "
                f"or name the program in {self.VARIABLE}")
        return program

    def _write_config(self, name, text):
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _await(self, condition, otherwise):
        deadline = time.monotonic() + READY_S
        while not condition():
            self._processes.check_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.NAME}: {otherwise} in {READY_S} s")
            time.sleep(0.05)

    def _await_answer(self, address, path):
        """Until `path` answers 200 through it; not at all without one."""
        if path is not None:
            self._await(lambda: http_get(address, path)[0] == 200,
                        f"it does not reach {path}")
