"""One measured run: workers, one frontend and one load as processes."""

import json
import os
import time

from experiments.harness.frontend import Metrics, wait_until_ready


def write_json(path, document):
    """A configuration file: JSON is YAML. Returns the path."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
    return path


class ServedLoad:
    """Its files lie in `folder`, its processes belong to `processes`."""

    # parm-load reads its data before it sends.
    LOAD_STARTUP_S = 1

    def __init__(self, processes, bin_dir, folder):
        self._processes = processes
        self._bin = bin_dir
        self._folder = folder
        self._load = None
        self._load_started = None
        self._measured_from_s = 0
        self._ends_after_s = 0
        self._warm = None
        self._metrics_address = None

    def _binary(self, name):
        return os.path.join(self._bin, name)

    def _path(self, name):
        return os.path.join(self._folder, name)

    def start_workers(self, configs):
        """Worker i is called w<i>; their endpoints once all are ready."""
        for index, config in enumerate(configs):
            self.start_worker(index, config)
        return [self._processes.wait_ready(f"w{index}")["zmq"]
                for index in range(len(configs))]

    def start_worker(self, index, config, bind="tcp://127.0.0.1:0"):
        path = write_json(self._path(f"w{index}.yaml"),
                          {"id": f"w{index}", "bind": bind, **config})
        self._processes.start(f"w{index}", [
            self._binary("parm-worker"), "--config", path,
            "--log-level", "warn"])

    def start_frontend(self, config):
        """Its HTTP address, once it serves every model of `config`."""
        path = write_json(self._path("frontend.yaml"), config)
        self._processes.start("frontend", [
            self._binary("parm-frontend"), "--config", path,
            "--http-port", "0", "--metrics-port", "0"])
        address = self._processes.wait_ready("frontend")
        for model in config["models"]:
            wait_until_ready(address["http"], model["name"])
        self._metrics_address = address["metrics"]
        return address["http"]

    def start_load(self, http, seconds, warm_up_s, arguments):
        """Writes record.json and cdf.csv."""
        self._load = self._processes.start("load", [
            self._binary("parm-load"), "--url", http,
            "--duration", f"{seconds}s", "--warmup", f"{warm_up_s}s",
            "--process", str(self._processes.pid("frontend")),
            "--out", self._path("record.json"),
            "--cdf", self._path("cdf.csv"), *arguments])
        self._load_started = time.monotonic()
        self._measured_from_s = warm_up_s + self.LOAD_STARTUP_S
        self._ends_after_s = warm_up_s + seconds

    def sleep_until(self, seconds_into_load):
        """Sleeps, but notices at once if something ended. What the frontend
        counted during the warm-up is put aside on the way.
        """
        while True:
            self._note_warm_up()
            elapsed = time.monotonic() - self._load_started
            if elapsed >= seconds_into_load:
                return
            self._processes.check_alive()
            time.sleep(min(seconds_into_load - elapsed, 0.2))

    def _note_warm_up(self):
        elapsed = time.monotonic() - self._load_started
        if self._warm is None and elapsed >= self._measured_from_s:
            self._warm = Metrics.scrape(self._metrics_address)

    def finish(self):
        """Waits for the load's end; its run record, with what only the
        frontend knows.
        """
        limit_s = self._ends_after_s + 30
        while self._load.poll() is None:
            self._note_warm_up()
            if time.monotonic() - self._load_started > limit_s:
                raise RuntimeError(f"parm-load did not end in {limit_s:.0f} s")
            time.sleep(0.1)
        if self._load.returncode not in (0, 3):
            raise RuntimeError(
                f"parm-load ended with status {self._load.returncode}\n"
                f"{self._processes.log_tail('load')}")
        with open(self._path("record.json"), encoding="utf-8") as file:
            record = json.load(file)
        self._add_frontend_figures(record["runs"][0])
        return record

    def _add_frontend_figures(self, run):
        """From the counters after the warm-up and at the end."""
        end = Metrics.scrape(self._metrics_address)

        def count(name, **labels):
            return (end.total(name, **labels) -
                    self._warm.total(name, **labels))

        queries = count("parm_queries_total")
        if queries > 0:
            run["extra_jobs_per_query"] = max(
                0, count("parm_tasks_total") - queries) / queries
            run["late_share"] = min(
                1, count("parm_late_originals_total") / queries)
