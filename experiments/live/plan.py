"""What parm-sim plans for a live run of a scenario: roles of the workers, their
faults, pauses, rates. Here only typed access; parm-sim checks everything.
"""

import json
import os
import subprocess


class BadScenario(Exception):
    """The sentence of parm-sim, with file and line."""


def make_plan(bin_dir, scenario, seed, seconds, out, *, policies=(), load=None,
              workers=None, trace=None):
    """The plan as a dictionary, which also lies in the file `out`."""
    command = [os.path.join(bin_dir, "parm-sim"), scenario,
               "--plan", out, "--seed", str(seed), "--seconds", str(seconds)]
    for policy in policies:
        command += ["--policy", policy]
    for flag, value in (("--load", load), ("--servers", workers),
                        ("--trace", trace)):
        if value is not None:
            command += [flag, str(value)]
    result = subprocess.run(command, capture_output=True, text=True,
                            check=False)
    if result.returncode == 2:
        raise BadScenario(result.stderr.strip())
    if result.returncode != 0:
        raise RuntimeError(result.stderr.strip())
    with open(out, encoding="utf-8") as file:
        return json.load(file)


def _pace(pace, cost, rows):
    """Of a model that costs `cost` of the deployed one's time for a task of
    `rows` rows, and that much more for each further sample: a worker counts
    rows from the first.
    """
    service = cost * pace["service_us"]
    per_extra_row = cost * pace["per_extra_sample_us"] / rows
    return {"service": f"{service - (rows - 1) * per_extra_row:.0f}us",
            "spread": pace["spread"],
            "per_extra_sample": f"{per_extra_row:.0f}us"}


def worker_config(plan, candidate, index, paths, epoch_unix_ms):
    """worker.yaml of worker `index`, without address. `paths`: the bundles
    "deployed" and whatever candidate["parity_model"] is.
    """
    code = candidate["code"]
    packed = code["k"] if code and code["scheme"] == "pack" else 1
    bundles = {
        "deployed": (paths["deployed"], _pace(plan["pace"], 1, 1)),
        "parity": (paths.get(candidate["parity_model"]),
                   _pace(plan["pace"], candidate["parity_cost"], packed)),
    }
    role = candidate["roles"][index]
    roles = ("deployed", "parity") if role == "both" else (role,)
    worker = plan["workers"][index]
    return {
        # As the simulator calls it: luck is drawn by name.
        "id": worker["id"],
        "fault_domain": worker["fault_domain"],
        "bundles": [{"path": path, "pace": pace}
                    for path, pace in (bundles[each] for each in roles)],
        "faults": {"seed": plan["seed"], "epoch_unix_ms": epoch_unix_ms,
                   "events": worker["events"]},
    }


def frontend_config(plan, candidate_config, endpoints, model):
    """The candidate's own frontend.yaml with these workers and this model. Where
    queries hold several samples it takes them, and joins none, as the simulator.
    """
    like = candidate_config["workers"][0]
    config = {**candidate_config,
              "workers": [{**like, "endpoint": endpoint}
                          for endpoint in endpoints]}
    served = {**config["models"][0], "name": model}
    if plan["batch_sizes"]:
        served.setdefault("batching", {
            "max_batch_size": max(each["samples"]
                                  for each in plan["batch_sizes"]),
            "timeout": "0s"})
    config["models"] = [served]
    return config
