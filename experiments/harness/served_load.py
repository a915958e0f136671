"""One measured run: workers, one frontend and one load as processes."""

import json
import os
import time

from experiments.harness.frontend import Metrics, wait_until_ready
from experiments.harness.haproxy import HaProxy


def write_json(path, document):
    """A configuration file: JSON is YAML. Returns the path."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
    return path


class ServedLoad:
    """Its files lie in `folder`, its processes belong to `processes`. Several
    frontends, each with a load of its own, may share the workers; or HAProxy
    stands in a frontend's place.
    """

    # parm-load reads its data before it sends.
    LOAD_STARTUP_S = 1

    def __init__(self, processes, bin_dir, folder):
        self._processes = processes
        self._bin = bin_dir
        self._folder = folder
        self._loads = []
        self._load_started = None
        self._measured_from_s = 0
        self._ends_after_s = 0
        self._warm = None
        self._hops = []  # names of the processes that are loaded
        self._metrics_addresses = []
        self._proxy = None
        self.http_endpoints = []

    def _binary(self, name):
        return os.path.join(self._bin, name)

    def _path(self, name):
        return os.path.join(self._folder, name)

    def start_workers(self, configs, http=False):
        """Worker i is called w<i>; their endpoints once all are ready. With
        `http` their HTTP ports are open too: `http_endpoints`.
        """
        for index, config in enumerate(configs):
            self.start_worker(index, config,
                              http="127.0.0.1:0" if http else None)
        ready = [self._processes.wait_ready(f"w{index}")
                 for index in range(len(configs))]
        self.http_endpoints = [each.get("http") for each in ready]
        return [each["zmq"] for each in ready]

    def start_worker(self, index, config, bind="tcp://127.0.0.1:0", http=None):
        path = write_json(self._path(f"w{index}.yaml"),
                          {"id": f"w{index}", "bind": bind, **config})
        command = [self._binary("parm-worker"), "--config", path,
                   "--log-level", "warn"]
        if http is not None:
            command += ["--http-port", http.rpartition(":")[2]]
        self._processes.start(f"w{index}", command)

    def start_frontend(self, config, name="frontend"):
        """Its HTTP address, once it serves every model of `config`."""
        path = write_json(self._path(f"{name}.yaml"), config)
        self._processes.start(name, [
            self._binary("parm-frontend"), "--config", path,
            "--http-port", "0", "--allow-grpc=false", "--metrics-port", "0"])
        address = self._processes.wait_ready(name)
        for model in config["models"]:
            wait_until_ready(address["http"], model["name"])
        self._hops.append(name)
        self._metrics_addresses.append(address["metrics"])
        return address["http"]

    def start_haproxy(self, endpoints, server_timeout_ms):
        """Its address. It counts no metrics of ours, but its retries."""
        self._proxy = HaProxy(self._processes, self._folder)
        self._hops.append(HaProxy.NAME)
        return self._proxy.start(endpoints, "/v2/health/ready",
                                 server_timeout_ms)

    def start_load(self, http, seconds, warm_up_s, arguments):
        """The load of the frontend that was started as the n-th, at the n-th
        call; writes record.json, cdf.csv and log.csv, with the number of
        further ones behind the name.
        """
        index = len(self._loads)
        self._loads.append(self._processes.start(f"load{index or ''}", [
            self._binary("parm-load"), "--url", http,
            "--duration", f"{seconds}s", "--warmup", f"{warm_up_s}s",
            "--process", str(self._processes.pid(self._hops[index])),
            "--out", self._path(f"record{index or ''}.json"),
            "--cdf", self._path(f"cdf{index or ''}.csv"),
            "--log", self._path(f"log{index or ''}.csv"), *arguments]))
        if index == 0:
            self._load_started = time.monotonic()
        self._measured_from_s = warm_up_s + self.LOAD_STARTUP_S
        self._ends_after_s = warm_up_s + seconds

    def logs(self):
        """Paths of what every load wrote of each query."""
        return [self._path(f"log{index or ''}.csv")
                for index in range(len(self._loads))]

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

    def _counts(self):
        """Queries, tasks, late originals so far, of all frontends."""
        if self._proxy is not None:
            return [0, self._proxy.retries()[0], 0]
        scraped = [Metrics.scrape(each) for each in self._metrics_addresses]
        return [sum(metrics.total(name) for metrics in scraped)
                for name in ("parm_queries_total", "parm_tasks_total",
                             "parm_late_originals_total")]

    def _note_warm_up(self):
        elapsed = time.monotonic() - self._load_started
        if self._warm is None and elapsed >= self._measured_from_s:
            self._warm = self._counts()

    def finish(self):
        """Waits for the load's end; its run record, with what only the
        frontend knows. Of several loads the first one's, for all of them.
        """
        limit_s = self._ends_after_s + 30
        loads = [f"load{index or ''}" for index in range(len(self._loads))]
        while any(load.poll() is None for load in self._loads):
            self._note_warm_up()
            self._processes.check_alive(may_end=loads)
            if time.monotonic() - self._load_started > limit_s:
                raise RuntimeError(f"parm-load did not end in {limit_s:.0f} s")
            time.sleep(0.1)
        # If this process was not awake in all that time.
        self._note_warm_up()
        records = []
        for index, load in enumerate(self._loads):
            if load.returncode not in (0, 3):
                raise RuntimeError(
                    f"parm-load ended with status {load.returncode}\n"
                    f"{self._processes.log_tail(f'load{index or str()}')}")
            with open(self._path(f"record{index or ''}.json"),
                      encoding="utf-8") as file:
                records.append(json.load(file))
        record = records[0]
        if len(records) > 1:
            record["runs"] = [merged_run(
                [each["runs"][0] for each in records])]
        self._add_frontend_figures(record["runs"][0])
        return record

    def _add_frontend_figures(self, run):
        """From the counters after the warm-up and at the end."""
        queries, tasks, late = (
            end - warm for end, warm in zip(self._counts(), self._warm))
        if self._proxy is not None:
            run["extra_jobs_per_query"] = tasks / max(1, run["queries"])
        elif queries > 0:
            run["extra_jobs_per_query"] = max(0, tasks - queries) / queries
            run["late_share"] = min(1, late / queries)


def _of_all(runs, key, combine):
    values = [run[key] for run in runs]
    return None if None in values else combine(values)


def merged_run(runs):
    """One entry of the run record for loads that ran side by side. Counts and
    rates add up, accuracies and costs are weighted means. Quantiles do not
    merge: they are null but for the maximum, and come from the logs.
    """
    queries = sum(run["queries"] for run in runs)

    def weighted(values):
        return sum(value * run["queries"] for value, run in zip(values, runs)
                   ) / max(1, queries)

    merged = dict(runs[0])
    merged["queries"] = queries
    merged["answers"] = {
        source: sum(run["answers"][source] for run in runs)
        for source in runs[0]["answers"]}
    for key in ("offered_qps", "achieved_qps", "shed", "rss_mb"):
        merged[key] = _of_all(runs, key, sum)
    merged["cpu_us_per_query"] = _of_all(runs, "cpu_us_per_query", weighted)
    for key in ("latency_ms", "latency_from_send_ms"):
        merged[key] = {
            name: _of_all([run[key] for run in runs], name, max)
            if name == "max" else None for name in runs[0][key]}
    merged["send_lag_ms"] = {
        name: _of_all([run["send_lag_ms"] for run in runs], name, max)
        for name in runs[0]["send_lag_ms"]}
    merged["tail_mass"] = {
        name: _of_all([run["tail_mass"] for run in runs], name, weighted)
        for name in runs[0]["tail_mass"]}
    merged["accuracy"] = {
        name: _of_all([run["accuracy"] for run in runs], name, weighted)
        for name in runs[0]["accuracy"]}
    merged["refused"] = next(
        (run["refused"] for run in runs if run["refused"]), None)
    return merged
