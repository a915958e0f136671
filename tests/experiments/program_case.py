"""What the tests of whole programs share: running them, files, refusals."""

import os
import subprocess
import tempfile
import unittest

BIN = os.environ["PARM_BIN"]


def run(program, *arguments):
    return subprocess.run([os.path.join(BIN, program), *arguments],
                          capture_output=True, text=True, timeout=250,
                          check=False)


class ProgramCase(unittest.TestCase):
    """`program`: whose refusals expect_refused() is about."""
    program = ""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)

    def path(self, name):
        return os.path.join(self._folder.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def expect_refused(self, want, *arguments):
        result = run(self.program, *arguments)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(want, result.stderr)
