"""Live runs of scenarios: plans, configurations, figures."""

import os
import signal
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
BIN = os.environ["PARM_BIN"]
sys.path.insert(0, ROOT)

from experiments.live import plan, run_scenario, summary  # noqa: E402
from experiments.live.latencies import Distribution  # noqa: E402

SCENARIOS = os.path.join(ROOT, "experiments", "scenarios")


def distribution(count=10_000):
    """Half take 20 ms, the slowest 1 % 100 ms."""
    return Distribution([0.0, 0.5, 0.98, 0.99, 0.995, 1.0],
                        [20.0, 20.0, 30.0, 30.0, 100.0, 100.0], count)


def run_of(repeat, reconstructed=0):
    return {"repeat": repeat, "queries": 200, "achieved_qps": 100.0,
            "extra_jobs_per_query": 0.5,
            "accuracy": {"delivered": 0.89, "exact": None},
            "answers": {"hedged": 2, "reconstructed": reconstructed,
                        "lost": 0}}


class DistributionTest(unittest.TestCase):

    def test_quantile_carries_its_interval(self):
        value, low, high = distribution().interval(0.99)
        self.assertEqual((value, low, high), (30.0, 30.0, 100.0))

    def test_small_samples_bound_no_high_quantile(self):
        self.assertIsNone(distribution(100).interval(0.999)[2])

    def test_tail_mass_is_the_share_above(self):
        self.assertAlmostEqual(distribution().share_above(40), 0.01)
        self.assertAlmostEqual(distribution().share_above(20), 0.5)
        self.assertEqual(distribution().share_above(100), 0.0)


class SummaryTest(unittest.TestCase):

    def test_policies_are_rows_and_refused_ones_say_so(self):
        text = summary.table({"none": [(run_of(0), distribution())],
                              "hedge": []}, 20)
        rows = [[cell.strip() for cell in line.strip("|").split("|")]
                for line in text.splitlines()]
        self.assertEqual(rows[2][:2], ["none", "20.0 (20.0 .. 30.0)"])
        # Not measured is a dash.
        self.assertEqual(rows[2][rows[0].index("exact accuracy %")], "-")
        self.assertEqual(rows[3][:2], ["hedge", "refused"])
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})

    def test_ratios_pair_repeats_of_the_same_luck(self):
        fast = Distribution([0.0, 1.0], [10.0, 10.0], 100)
        slow = Distribution([0.0, 1.0], [40.0, 40.0], 100)
        cells = {"hedge": [(run_of(0), slow), (run_of(2), fast)],
                 "coded": [(run_of(0), fast), (run_of(1), slow),
                           (run_of(2), fast)]}
        self.assertEqual(summary.versus(cells, "hedge", 0.5),
                         {"coded": (0.625, 0.25, 1.0)})


class PlanTest(unittest.TestCase):

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.out = os.path.join(self._folder.name, "plan.json")

    def make(self, scenario, **more):
        return plan.make_plan(BIN, scenario, 1, 10, self.out, **more)

    def test_workers_get_roles_pace_and_faults(self):
        made = self.make(os.path.join(SCENARIOS, "slow_mode.yaml"),
                         policies=["coded"], workers=6, load=0.3)
        self.assertAlmostEqual(made["rate_qps"], 90)
        candidate = made["candidates"][0]
        self.assertEqual(candidate["roles"].count("parity"), 2)
        index = candidate["roles"].index("parity")
        config = plan.worker_config(made, candidate, index,
                                    {"deployed": "/d", "parity": "/p"}, 77)
        self.assertEqual(config["id"], f"worker{index}")
        self.assertEqual([each["path"] for each in config["bundles"]], ["/p"])
        self.assertEqual(config["bundles"][0]["pace"]["service"], "20000us")
        self.assertEqual(config["faults"]["epoch_unix_ms"], 77)

    def test_frontends_keep_all_but_workers_and_name(self):
        config = plan.frontend_config(
            {"workers": [{"endpoint": "x", "max_in_flight": 3}],
             "models": [{"name": "model", "redundancy": {"policy": "none"}}]},
            ["tcp://h:1", "tcp://h:2"], "fashion")
        self.assertEqual(config["workers"], [
            {"endpoint": "tcp://h:1", "max_in_flight": 3},
            {"endpoint": "tcp://h:2", "max_in_flight": 3}])
        self.assertEqual(config["models"], [
            {"name": "fashion", "redundancy": {"policy": "none"}}])

    def test_bad_scenarios_are_told_with_their_line(self):
        path = os.path.join(self._folder.name, "s.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("name: s\npace: {service: 20ms}\npolicies: [none]\n"
                       "lode: 0.5\n")
        with self.assertRaisesRegex(plan.BadScenario, r"s\.yaml:4: .*lode"):
            self.make(path)
        with self.assertRaisesRegex(plan.BadScenario, "cannot be played live"):
            self.make(os.path.join(SCENARIOS, "shuffles.yaml"))

    def test_pauses_are_signals_in_order_of_time(self):
        events = run_scenario.pause_events([
            {"at_s": 1.0, "length_s": 5.0, "workers": [0]},
            {"at_s": 2.0, "length_s": 1.0, "workers": [1]}])
        self.assertEqual(events, [
            (1.0, signal.SIGSTOP, [0]), (2.0, signal.SIGSTOP, [1]),
            (3.0, signal.SIGCONT, [1]), (6.0, signal.SIGCONT, [0])])


if __name__ == "__main__":
    unittest.main()
