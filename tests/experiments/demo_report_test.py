"""The demo's table and picture, and the configurations that it writes."""

import os
import sys
import tempfile
import unittest

ROOT = os.environ["PARM_SOURCE"]
sys.path.insert(0, ROOT)

from experiments.demo import run_demo  # noqa: E402
from experiments.harness import report  # noqa: E402

LATENCY = {"p50": 20.0, "p90": 21.0, "p99": 40.0, "p99_9": 50.0,
           "p99_9_low": 45.0, "p99_9_high": None, "max": 60.0}


def run_of(policy, reconstructed):
    return {
        "policy": policy, "queries": 200, "offered_qps": 112.5,
        "achieved_qps": 112.4, "latency_ms": LATENCY,
        "answers": {"exact": 200 - reconstructed, "default": 0, "error": 0,
                    "reconstructed": reconstructed, "lost": 0},
        "late_share": 0.03, "extra_jobs_per_query": 0.5,
        "cpu_us_per_query": None, "send_lag_ms": {"p99": 0.05},
        "accuracy": {"deployed": 0.89, "exact": 0.9, "delivered": 0.895,
                     "reconstructed": None if reconstructed == 0 else 0.85},
    }


class ReportTest(unittest.TestCase):

    def test_table_has_a_column_for_each_policy(self):
        lines = report.table([run_of("none", 0),
                              run_of("coded", 4)]).splitlines()
        self.assertEqual(lines[0].split(), ["none", "coded"])
        rows = {line[:26].strip(): line[26:].split() for line in lines[2:]}
        self.assertEqual(rows["p99.9 ms"], ["50.0", "50.0"])
        self.assertEqual(rows["lost"], ["0", "0"])
        self.assertEqual(rows["reconstructed"], ["0.00", "%", "2.00", "%"])
        # Not measured is a dash, never a zero.
        self.assertEqual(rows["accuracy, reconstructed"], ["-", "85.00", "%"])
        self.assertEqual(rows["frontend CPU-us per query"], ["-", "-"])

    def test_table_gives_the_median_and_range_of_repeats(self):
        lines = report.table([run_of("none", 0), run_of("coded", 4),
                              run_of("coded", 2), run_of("coded", 6)]
                             ).splitlines()
        self.assertEqual(lines[0].split(), ["none", "coded"])
        rows = {line[:26].strip(): line[26:].split() for line in lines[2:]}
        self.assertEqual(rows["queries"], ["200", "600"])
        self.assertEqual(
            " ".join(rows["reconstructed"]),
            "0.00 % 2.00 (1.00 .. 3.00) %")

    def test_picture_is_drawn_from_the_distributions(self):
        with tempfile.TemporaryDirectory() as folder:
            cdf = os.path.join(folder, "cdf.csv")
            with open(cdf, "w", encoding="utf-8") as file:
                file.write("quantile,latency_ms,latency_from_send_ms\n"
                           "0,19,19\n0.5,20,20\n0.99,40,40\n1,200,200\n")
            path = os.path.join(folder, "picture.png")
            report.picture({"none": cdf, "coded": cdf}, 500, "title", path)
            with open(path, "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")


class ConfigurationTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        with open(os.path.join(folder.name, "bundle.yaml"), "w",
                  encoding="utf-8") as file:
            file.write("measured: {relative_cost: 1.5}\n")
        self.parity = folder.name
        self.demo = run_demo.Demo(
            type("Args", (), {"bin": "bin", "seed": 1}),
            {"deployed": "/b/deployed", "parity": self.parity})

    def bundles_of(self, policy):
        return [self.demo._worker_config(policy, index)["bundles"][0]
                for index in range(run_demo.NUM_WORKERS)]

    def test_both_policies_use_the_same_number_of_workers(self):
        for policy, num_parity in (("none", 0), ("coded", 3)):
            self.assertEqual(
                [bundle["path"] for bundle in self.bundles_of(policy)],
                ["/b/deployed"] * (9 - num_parity) +
                [self.parity] * num_parity)

    def test_a_dearer_parity_model_takes_longer(self):
        services = [bundle["pace"]["service"]
                    for bundle in self.bundles_of("coded")]
        self.assertEqual(services, ["20000us"] * 6 + ["30000us"] * 3)

    def test_only_the_coded_frontend_names_a_code(self):
        none = run_demo.frontend_config(["tcp://h:1"], "none")
        coded = run_demo.frontend_config(["tcp://h:1"], "coded")
        self.assertNotIn("code", none["models"][0]["redundancy"])
        self.assertEqual(coded["models"][0]["redundancy"]["code"],
                         {"scheme": "tile", "k": 2, "r": 1})
        self.assertEqual(none["workers"], coded["workers"])


if __name__ == "__main__":
    unittest.main()
