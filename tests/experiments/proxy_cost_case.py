"""One brief run of the bench of proxies, over whichever protocol: every candidate
passes every query on.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]


class ProxyCostCase(unittest.TestCase):

    def run_bench(self, protocol, candidates):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable,
                 os.path.join(ROOT, "experiments/bench/proxy_cost.py"),
                 "--bin", os.environ["PARM_BIN"], "--out", folder,
                 "--protocol", protocol, "--size", "12 KB", "--rate", "40",
                 "--seconds", "1", "--repeats", "1"],
                capture_output=True, text=True, timeout=280, check=False)
            # A slow machine may send late; then the record says so.
            self.assertIn(done.returncode, (0, 3), done.stderr)
            path = os.path.join(folder, "proxy_cost.json")
            with open(path, encoding="utf-8") as file:
                runs = json.load(file)["runs"]
            with open(os.path.join(folder, "proxy_cost.md"),
                      encoding="utf-8") as file:
                num_rows = len(file.readlines()) - 2
        self.assertEqual({run["policy"] for run in runs}, candidates)
        for run in runs:
            self.assertGreater(run["queries"], 0)
            self.assertEqual(run["answers"]["error"], 0, run)
            self.assertEqual(run["answers"]["lost"], 0, run)
            self.assertEqual(run["policy"] == "direct",
                             run["cpu_us_per_query"] is None)
        self.assertEqual(num_rows, sum(not run["refused"] for run in runs))
        return {run["policy"]: run for run in runs}
