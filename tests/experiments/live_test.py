"""Live runs of scenarios: plans, configurations, figures."""

import os
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
BIN = os.environ["PARM_BIN"]
sys.path.insert(0, ROOT)

from experiments.harness.served_load import merged_run  # noqa: E402
from experiments.live import (  # noqa: E402
    host, latencies, live_run, pictures, plan, summary)
from experiments.live.latencies import QueryLog  # noqa: E402

SCENARIOS = os.path.join(ROOT, "experiments", "scenarios")
PLAN = {"batch_sizes": [], "rate_steps": [], "pauses": [], "worker_events": []}


def log_of(latencies_ms, rate=100):
    return QueryLog([i / rate for i in range(len(latencies_ms))], latencies_ms)


def log(count=10_000):
    """Half take 20 ms, 49 % 30 ms, the slowest 1 % 100 ms, spread evenly."""
    return log_of([100.0 if i % 100 == 0 else 20.0 if i % 2 else 30.0
                   for i in range(count)])


def run_of(repeat, reconstructed=0):
    return {"repeat": repeat, "queries": 200, "achieved_qps": 100.0,
            "extra_jobs_per_query": 0.5,
            "tail_mass": {"over_2_service": 0.01, "over_3_service": 0.01,
                          "over_5_service": None},
            "accuracy": {"delivered": 0.89, "exact": None},
            "answers": {"hedged": 2, "reconstructed": reconstructed,
                        "error": 1, "lost": 0}}


class QueryLogTest(unittest.TestCase):

    def test_quantile_carries_its_interval(self):
        value, low, high = log().interval(0.99)
        self.assertEqual((value, low, high), (30.0, 30.0, 100.0))

    def test_small_samples_bound_no_high_quantile(self):
        self.assertIsNone(log(100).interval(0.999)[2])

    def test_logs_of_loads_side_by_side_are_one(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name in ("a", "b"):
                paths.append(os.path.join(folder, name))
                with open(paths[-1], "w", encoding="utf-8") as file:
                    file.write("due_s,latency_ms,outcome\n2.5,20.0,exact\n"
                               "3.5,40.0,hedged\n")
            both = QueryLog.read(paths)
        self.assertEqual(len(both), 4)
        self.assertEqual(list(both.outcomes[:2]), ["exact", "hedged"])
        self.assertEqual({number: list(values) for number, values
                          in both.blocks().items()},
                         {2: [20.0, 20.0], 3: [40.0, 40.0]})

    def test_blocks_widen_what_a_slow_second_decides(self):
        # The same latencies, once spread over all seconds, once in one.
        spread = log_of([100.0 if i % 100 == 0 else 20.0
                         for i in range(10_000)])
        bunched = log_of([100.0 if i < 100 else 20.0 for i in range(10_000)])
        self.assertEqual(latencies.pooled({0: spread}, 0.98),
                         (20.0, 20.0, 20.0))
        self.assertEqual(latencies.pooled({0: bunched}, 0.98),
                         (20.0, 20.0, 100.0))

    def test_fewer_than_five_seconds_bound_nothing(self):
        self.assertEqual(latencies.pooled({0: log_of([20.0] * 300)}, 0.5),
                         (20.0, None, None))

    def test_paired_difference_knows_its_sign(self):
        slow = {0: log_of([40.0] * 1000), 1: log_of([44.0] * 1000)}
        fast = {0: log_of([20.0] * 1000), 2: log_of([1.0] * 1000)}
        # Repeat 0 is the only one that both have.
        self.assertEqual(latencies.paired(fast, slow, 0.5), {
            "difference_ms": (-20.0, -20.0, -20.0), "ratio": (0.5, 0.5, 0.5)})
        self.assertIsNone(latencies.paired({3: fast[0]}, slow, 0.5))

    def test_recovery_counts_from_the_end_of_the_pulse(self):
        values = [20.0] * 1000 + [90.0] * 500 + [20.0] * 500
        pulse = {**PLAN, "rate_steps": [{"at_s": 10, "rate_qps": 200},
                                        {"at_s": 12, "rate_qps": 100}]}
        self.assertEqual(latencies.recovery_s(log_of(values), pulse), 3)
        self.assertIsNone(latencies.recovery_s(log_of(values[:1500]), pulse))
        self.assertIsNone(latencies.recovery_s(log_of(values), PLAN))


class SummaryTest(unittest.TestCase):

    def test_policies_are_rows_and_refused_ones_say_so(self):
        cells = {"none": [(run_of(0), log())], "hedge": []}
        text = summary.table(cells, summary.figures(cells, PLAN))
        rows = [[cell.strip() for cell in line.strip("|").split("|")]
                for line in text.splitlines()]
        self.assertEqual(rows[2][:2], ["none", "20.0 (20.0 .. 20.0)"])
        # Not measured is a dash; too few queries for p99.99 no column.
        self.assertEqual(rows[2][rows[0].index("exact accuracy %")], "-")
        self.assertIn("p99.9 ms", rows[0])
        self.assertNotIn("p99.99 ms", rows[0])
        self.assertEqual(rows[2][rows[0].index("> 2 S %")], "1.00")
        self.assertEqual(rows[2][rows[0].index("> 5 S %")], "-")
        self.assertEqual(rows[3][:2], ["hedge", "refused"])
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})

    def test_claims_say_whether_a_difference_is_shown(self):
        cells = {"hedge": [(run_of(0), log_of([40.0] * 10_000))],
                 "coded": [(run_of(0), log_of([10.0] * 10_000))],
                 "none": [(run_of(0), log_of([40.0] * 10_000))],
                 "refused": []}
        texts = [summary.claim_text(claim)
                 for claim in summary.claims(cells, "hedge")]
        self.assertEqual(len(texts), 4)
        self.assertIn("p99 of coded minus hedge's, same luck: "
                      "-30.0 (-30.0 .. -30.0) ms (less)", texts[0])
        self.assertIn("no difference shown", texts[2])

    def test_loads_side_by_side_make_one_entry(self):
        half = {**run_of(0), "offered_qps": 50.0, "shed": 1, "rss_mb": None,
                "cpu_us_per_query": 100.0,
                "latency_ms": {"p50": 20.0, "max": 50.0},
                "latency_from_send_ms": {"p50": 20.0, "max": 50.0},
                "send_lag_ms": {"p99": 0.1}, "refused": None,
                "tail_mass": {"over_2_service": 0.01}}
        other = {**half, "queries": 600, "cpu_us_per_query": 200.0,
                 "tail_mass": {"over_2_service": 0.05},
                 "latency_ms": {"p50": 21.0, "max": 60.0},
                 "refused": "late"}
        both = merged_run([half, other])
        self.assertEqual(both["queries"], 800)
        self.assertEqual(both["offered_qps"], 100.0)
        self.assertEqual(both["answers"]["hedged"], 4)
        self.assertEqual(both["cpu_us_per_query"], 175.0)
        self.assertEqual(both["latency_ms"], {"p50": None, "max": 60.0})
        self.assertAlmostEqual(both["tail_mass"]["over_2_service"], 0.04)
        self.assertIsNone(both["accuracy"]["exact"])
        self.assertEqual(both["refused"], "late")

    def test_a_loaded_machine_is_told(self):
        watched = host.HostWatch().figures()
        self.assertEqual(set(watched),
                         {"steal_share", "busy_share", "load_average"})
        quiet = {"steal_share": 0.0, "busy_share": 0.5, "load_average": 0.4}
        self.assertNotIn("loaded", host.sentence([quiet], cores=2))
        self.assertIn("was loaded", host.sentence(
            [quiet, {**quiet, "load_average": 5.0}], cores=2))


class PicturesTest(unittest.TestCase):

    def test_every_picture_is_drawn(self):
        with tempfile.TemporaryDirectory() as folder:
            def path(name):
                return os.path.join(folder, name + ".png")
            pictures.tail({"none": [log(500)]}, 500, "t", path("tail"))
            pictures.timeline({"none": log(500)}, [(1, 2, "kill")], "t",
                              path("timeline"))
            pictures.against_load(
                {"none": [(0.5, (30.0, None, 40.0)), (0.3, (20.0, 19.0, 21.0))]},
                "t", path("loads"))
            pictures.accuracy_against_latency({"none": (30.0, 0.9)}, "t",
                                              path("accuracy"))
            self.assertEqual(len(os.listdir(folder)), 4)


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

    def test_a_pack_is_paced_as_one_task_of_its_cost(self):
        made = self.make(os.path.join(SCENARIOS, "slow_jobs_1.yaml"),
                         policies=["backup", "hybrid_pack"], workers=16)
        for candidate, model in zip(made["candidates"], ("backup", "parity")):
            self.assertEqual(candidate["parity_model"], model)
            self.assertEqual(set(candidate["roles"]), {"both"})
            config = plan.worker_config(made, candidate, 0,
                                        {"deployed": "/d", model: "/m"}, 77)
            deployed, redundant = config["bundles"]
            self.assertEqual(deployed["path"], "/d")
            self.assertEqual(redundant["path"], "/m")
            # The worker counts four rows: 0.9 of 20 ms in all.
            self.assertEqual(candidate["parity_cost"], 0.9)
            self.assertEqual(redundant["pace"]["service"], "4500us")
            self.assertEqual(redundant["pace"]["per_extra_sample"], "4500us")

    def test_frontends_keep_all_but_workers_and_name(self):
        config = plan.frontend_config(
            PLAN, {"workers": [{"endpoint": "x", "max_in_flight": 3}],
             "models": [{"name": "model", "redundancy": {"policy": "none"}}]},
            ["tcp://h:1", "tcp://h:2"], "fashion")
        self.assertEqual(config["workers"], [
            {"endpoint": "tcp://h:1", "max_in_flight": 3},
            {"endpoint": "tcp://h:2", "max_in_flight": 3}])
        self.assertEqual(config["models"], [
            {"name": "fashion", "redundancy": {"policy": "none"}}])

    def test_frontends_take_batches_as_the_simulator_does(self):
        batches = {**PLAN, "batch_sizes": [{"samples": 1, "share": 0.5},
                                           {"samples": 8, "share": 0.5}]}
        own = {"max_batch_size": 32}
        for stated, want in (({}, {"max_batch_size": 8, "timeout": "0s"}),
                             ({"batching": own}, own)):
            config = plan.frontend_config(
                batches, {"workers": [{}], "models": [stated]}, [], "fashion")
            self.assertEqual(config["models"][0]["batching"], want)

    def test_bad_scenarios_are_told_with_their_line(self):
        path = os.path.join(self._folder.name, "s.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("name: s\npace: {service: 20ms}\npolicies: [none]\n"
                       "lode: 0.5\n")
        with self.assertRaisesRegex(plan.BadScenario, r"s\.yaml:4: .*lode"):
            self.make(path)
        with self.assertRaisesRegex(plan.BadScenario, "simulated only"):
            self.make(os.path.join(SCENARIOS, "slow_mode.yaml"),
                      policies=["oracle"])

    def test_actions_come_in_order_of_time(self):
        actions = live_run.timed_actions({
            "pauses": [{"at_s": 1.0, "length_s": 5.0, "workers": [0]}],
            "worker_events": [
                {"what": "kill", "worker": 1, "at_s": 2.0, "length_s": 1.0},
                {"what": "silent", "worker": 2, "at_s": 0.0,
                 "length_s": 9.0}]})
        self.assertEqual(actions, [
            (1.0, "stop", 0), (2.0, "kill", 1), (3.0, "start", 1),
            (6.0, "continue", 0)])

    def test_load_steps_and_worker_events_are_planned(self):
        made = self.make(os.path.join(SCENARIOS, "overload_pulse.yaml"),
                         workers=4)
        self.assertEqual([step["at_s"] for step in made["rate_steps"]],
                         [10, 12])
        self.assertAlmostEqual(made["rate_steps"][0]["rate_qps"], 240)
        made = self.make(os.path.join(SCENARIOS, "failing_worker.yaml"),
                         workers=4)
        self.assertEqual(made["worker_events"], [
            {"what": "failing", "worker": 1, "at_s": 6, "length_s": 6}])
        self.assertEqual(made["workers"][1]["events"][0]["error_probability"],
                         1)
        self.assertEqual(made["workers"][0]["events"], [])
        self.assertEqual(pictures.marks_of(made), [(6, 12, "failing")])


if __name__ == "__main__":
    unittest.main()
