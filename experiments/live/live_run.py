"""One candidate under one scenario, once, on real processes."""

import os
import signal
import time

import yaml

from experiments.harness.processes import ProcessSet
from experiments.harness.served_load import ServedLoad
from experiments.live import plan as live_plan
from experiments.live.host import HostWatch
from experiments.live.latencies import QueryLog

# Torch takes most of a second of a core to load.
_STARTUP_S = 5
_STARTUP_PER_WORKER_S = 0.7
# HAProxy is no policy of the frontend: it stands before the workers' HTTP
# ports, with the roles of `none`, and sends a query elsewhere after this many
# clean service times.
HAPROXY = "haproxy"
HAPROXY_TIMEOUT_SERVICES = 2.25


def timed_actions(plan):
    """(seconds, action, worker) in order of time: what the runner itself does
    to workers, counted from the start of the warm-up.
    """
    actions = []
    for pause in plan["pauses"]:
        for worker in pause["workers"]:
            actions.append((pause["at_s"], "stop", worker))
            actions.append((pause["at_s"] + pause["length_s"], "continue",
                            worker))
    for event in plan["worker_events"]:
        if event["what"] == "kill":
            actions.append((event["at_s"], "kill", event["worker"]))
            actions.append((event["at_s"] + event["length_s"], "start",
                            event["worker"]))
    return sorted(actions, key=lambda action: action[0])


class LiveRun:
    """`settings`: bin, data, seconds, model; `paths`: of the bundles."""

    def __init__(self, settings, plan, candidate, paths, folder):
        self._settings = settings
        self._plan = plan
        self._candidate = candidate
        self._paths = paths
        self._folder = folder
        self._http = candidate["policy"] == HAPROXY

    def play(self, scenario, repeat):
        """(entry of the run record, QueryLog, host figures)."""
        plan = self._plan
        with ProcessSet(self._folder) as processes:
            served = ServedLoad(processes, self._settings.bin, self._folder)
            try:
                endpoints, configs = self._start_workers(served)
                hops = self._start_hops(served, endpoints)
                self._await_epoch(served)
                watch = HostWatch()
                for index, address in enumerate(hops):
                    served.start_load(
                        address, self._settings.seconds, plan["warmup_s"],
                        self._load_arguments(scenario, repeat, index,
                                             len(hops)))
                for at_s, action, worker in timed_actions(plan):
                    if at_s >= plan["warmup_s"] + self._settings.seconds:
                        break
                    served.sleep_until(served.LOAD_STARTUP_S + at_s)
                    self._act(processes, served, action, worker, endpoints,
                              configs)
                entry = served.finish()["runs"][0]
            finally:
                # SIGTERM does not reach a process that stands still.
                for index in range(len(plan["workers"])):
                    processes.signal(f"w{index}", signal.SIGCONT)
        return entry, QueryLog.read(served.logs()), watch.figures()

    def _start_workers(self, served):
        plan = self._plan
        # The scenario's times count from the start of the warm-up.
        self._epoch = (time.time() + _STARTUP_S +
                       _STARTUP_PER_WORKER_S * len(plan["workers"]))
        configs = [live_plan.worker_config(plan, self._candidate, index,
                                           self._paths,
                                           round(self._epoch * 1000))
                   for index in range(len(plan["workers"]))]
        return served.start_workers(configs, http=self._http), configs

    def _start_hops(self, served, endpoints):
        if self._http:
            timeout_ms = (HAPROXY_TIMEOUT_SERVICES *
                          self._plan["pace"]["service_us"] / 1000)
            return [served.start_haproxy(served.http_endpoints,
                                         round(timeout_ms))]
        with open(self._candidate["file"], encoding="utf-8") as file:
            config = live_plan.frontend_config(
                self._plan, yaml.safe_load(file), endpoints,
                self._settings.model)
        return [served.start_frontend(config, f"frontend{index or ''}")
                for index in range(self._plan["frontends"])]

    def _await_epoch(self, served):
        wait_s = self._epoch - served.LOAD_STARTUP_S - time.time()
        if wait_s < 0:
            raise RuntimeError(
                f"{len(self._plan['workers'])} workers took {-wait_s:.0f} s "
                f"too long to start: want a machine that is less busy")
        time.sleep(wait_s)

    def _act(self, processes, served, action, worker, endpoints, configs):
        name = f"w{worker}"
        if action == "kill":
            processes.kill(name)
        elif action == "start":
            served.start_worker(
                worker, configs[worker], bind=endpoints[worker],
                http=served.http_endpoints[worker])
        else:
            processes.signal(name, signal.SIGSTOP if action == "stop"
                             else signal.SIGCONT)

    def _load_arguments(self, scenario, repeat, index, count):
        plan, candidate = self._plan, self._candidate
        arguments = [
            "--model", self._settings.model, "--data", self._settings.data,
            "--reference-logits", self._paths["logits"],
            "--rate", str(plan["rate_qps"] / count),
            "--deadline", f"{candidate['deadline_ms']}ms",
            "--clean-service", f"{plan['pace']['service_us']:.0f}us",
            # Loads side by side must not send at the same instants.
            "--seed", str(plan["seed"] + 1000 * index),
            "--repeat", str(repeat), "--name", "live",
            "--policy", candidate["policy"], "--scenario", scenario,
            "--load", str(plan["load"]),
            "--workers", str(len(plan["workers"])),
        ]
        for step in plan["rate_steps"]:
            arguments += ["--rate-step", f"{step['at_s']}s:"
                          f"{step['rate_qps'] / count}"]
        if plan["batch_sizes"]:
            arguments += [
                "--batch-sizes", ",".join(
                    f"{each['samples']}:{each['share']}"
                    for each in plan["batch_sizes"]),
                "--clean-extra-sample",
                f"{plan['pace']['per_extra_sample_us']:.0f}us"]
        if candidate["code"]:
            code = candidate["code"]
            arguments += ["--code", f"{code['scheme']}:{code['k']}:{code['r']}"]
        return arguments


def bundles_folder(out, scenario, policy, repeat):
    """Where a run's files lie."""
    return os.path.join(out, scenario, f"{policy}-{repeat}")
