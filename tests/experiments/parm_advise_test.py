"""parm-advise as a program: table, picture, record, refusals."""

import json
import unittest
import xml.etree.ElementTree

from program_case import ProgramCase, run


class ParmAdviseTest(ProgramCase):
    program = "parm-advise"

    def latencies(self):
        return self.write("latencies.txt", "20\n" * 990 + "200\n" * 10)

    def test_leaves_table_picture_and_record(self):
        picture, record = self.path("tail.svg"), self.path("record.json")
        result = run("parm-advise", self.latencies(), "--servers", "12",
                     "--load", "0.2", "--load", "0.4", "--queries", "2000",
                     "--picture", picture, "--out", record)
        self.assertEqual(result.returncode, 0, result.stderr)
        for word in ("recorded", "none", "hedge", "coded", "hybrid",
                     "load 0.4", "p99.9 of 1000 records"):
            self.assertIn(word, result.stdout)
        lines = xml.etree.ElementTree.parse(picture).getroot().iter(
            "{http://www.w3.org/2000/svg}polyline")
        self.assertEqual(len(list(lines)), 12)
        check = run("parm-load", "--check-record", record)
        self.assertEqual(check.returncode, 0, check.stderr)
        with open(record, encoding="utf-8") as file:
            self.assertEqual(len(json.load(file)["runs"]), 10)

    def test_a_rate_is_a_load_of_these_servers(self):
        record = self.path("record.json")
        result = run("parm-advise", self.latencies(), "--servers", "12",
                     "--rate", "100", "--queries", "1000", "--out", record)
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(record, encoding="utf-8") as file:
            for one in json.load(file)["runs"]:
                self.assertAlmostEqual(one["load"], 100 * 0.0218 / 12)

    def test_tries_the_operators_own_configuration(self):
        policy = self.write("mine.yaml", """
workers: [{endpoint: "tcp://127.0.0.1:7001"}]
models:
  - {name: m, deadline: 1s, redundancy: {policy: replicate}}
""")
        result = run("parm-advise", self.latencies(), "--servers", "6",
                     "--load", "0.2", "--queries", "1000", "--policy", policy)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("\nmine ", result.stdout)

    def test_says_which_line_of_a_file_is_wrong(self):
        bad = self.write("bad.txt", "20\n30\nslow\n")
        self.expect_refused("bad.txt:3: latency: got \"slow\"", bad,
                            "--servers", "3", "--load", "0.3")
        self.expect_refused("cannot read", self.path("none.txt"),
                            "--servers", "3", "--load", "0.3")
        dump = self.write("dump.txt", 'a_bucket{le="1"} 5\n'
                          'a_bucket{le="+Inf"} 4\n')
        self.expect_refused("dump.txt:2: counts", dump, "--servers", "3",
                            "--load", "0.3")
        policy = self.write("mine.yaml", "workers: []\nmodels: []\n")
        self.expect_refused("mine.yaml:1:", self.latencies(), "--servers",
                            "3", "--load", "0.3", "--policy", policy)

    def test_wrong_flags_are_wrong_usage(self):
        good = (self.latencies(), "--servers", "3")
        self.expect_refused("want --load or --rate", *good)
        self.expect_refused("--servers", good[0], "--load", "0.3")
        self.expect_refused("--rate: got", *good, "--rate", "100000")
        self.expect_refused("--deadline: got", *good, "--load", "0.3",
                            "--deadline", "soon")
        self.expect_refused("deadline is not above", *good, "--load", "0.3",
                            "--deadline", "10ms")
        self.assertEqual(run("parm-advise", "--help").returncode, 0)
        self.assertIn("parm-advise ", run("parm-advise", "--version").stdout)

    def test_a_picture_that_cannot_be_written_is_no_success(self):
        result = run("parm-advise", self.latencies(), "--servers", "3",
                     "--load", "0.3", "--queries", "1000", "--picture",
                     self.path("no/such/folder.svg"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write", result.stderr)


if __name__ == "__main__":
    unittest.main()
