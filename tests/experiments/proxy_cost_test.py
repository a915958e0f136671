"""The bench of proxies, run once and briefly: every candidate passes every query
on. Skipped, visibly, where haproxy or nginx is not installed.
"""

import os
import sys
import tempfile
import unittest

from proxy_cost_case import ProxyCostCase

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.bench import hop_runs  # noqa: E402
from experiments.harness import haproxy, nginx  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402


class HopRunsTest(unittest.TestCase):

    @staticmethod
    def entry(repeat, cpu):
        return {"repeat": repeat, "cpu_us_per_query": cpu, "refused": None}

    def test_ratio_is_of_medians_and_range_of_repeats(self):
        ours = [self.entry(0, 30), self.entry(1, 20), self.entry(2, 50)]
        theirs = [self.entry(0, 10), self.entry(1, 20), self.entry(3, 30)]
        self.assertEqual(hop_runs.cpu_ratio(ours, theirs), (1.5, 1, 3))

    def test_ratio_without_a_common_repeat_has_no_range(self):
        ours, theirs = [self.entry(0, 30)], [self.entry(1, 10)]
        self.assertEqual(hop_runs.cpu_ratio(ours, theirs), (3, 3, 3))

    def in_turns(self, refused):
        made = []

        def run(candidate, repeat):
            made.append(candidate)
            why = "late" if (candidate, repeat) in refused else None
            return {**self.entry(repeat, 1), "refused": why}

        record = RunRecord("test", 1, {})
        return made, hop_runs.in_turns("test", "x", ("a", "b"), 2, run, record)

    def test_candidates_take_turns_in_being_first(self):
        made, runs = self.in_turns(refused=())
        self.assertEqual(made, ["a", "b", "b", "a"])
        self.assertEqual([run["repeat"] for run in runs["a"]], [0, 1])

    def test_refused_runs_are_left_out_of_figures(self):
        _, runs = self.in_turns(refused=(("b", 0),))
        self.assertEqual([run["repeat"] for run in runs["b"]], [1])
        _, runs = self.in_turns(refused=(("b", 0), ("b", 1)))
        self.assertEqual(list(runs), ["a"])


@unittest.skipUnless(haproxy.program() and nginx.program(),
                     "haproxy or nginx is not installed")
class ProxyCostTest(ProxyCostCase):

    def test_every_proxy_passes_http_on(self):
        runs = self.run_bench("http", {"haproxy", "nginx", "none", "hybrid",
                                       "direct"})
        # The coded path is what its figure is of.
        self.assertGreater(runs["hybrid"]["extra_jobs_per_query"], 0)


@unittest.skipUnless(nginx.program(), "nginx is not installed")
class NginxTest(unittest.TestCase):

    def setUp(self):
        self._scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self._scratch.cleanup)
        self.processes = ProcessSet(self._scratch.name)
        self.addCleanup(self.processes.stop_all)
        self.nginx = nginx.Nginx(self.processes, self._scratch.name)

    def test_says_that_it_could_not_start(self):
        with self.assertRaisesRegex(RuntimeError, "nginx"):
            self.nginx.start(["non sense"], "/")

    def test_that_is_missing_is_said_in_a_sentence(self):
        found, nginx.program = nginx.program, lambda: None
        try:
            with self.assertRaisesRegex(RuntimeError, "is not installed"):
                self.nginx.start([], "/")
        finally:
            nginx.program = found


if __name__ == "__main__":
    unittest.main()
