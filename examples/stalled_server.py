"""What the examples share: four model servers, one of which stops for a second
every ten, behind one frontend: what its clients wait, with each redundancy and
with none.

The models are real (ParM's MLP on Fashion-MNIST and its parity model, made by
parm-train), the answers too; service times are paced. The servers are not told
of anything. Parity runs on two parm-workers beside them, or on two further
servers of their kind.
"""

import argparse
import dataclasses
import gzip
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from experiments.demo import bundles as demo_bundles  # noqa: E402
from experiments.harness import driver, report  # noqa: E402
from experiments.harness.processes import ProcessSet  # noqa: E402
from experiments.harness.record import RunRecord  # noqa: E402
from experiments.harness.served_load import ServedLoad  # noqa: E402

MODEL = demo_bundles.MODEL
PARITY = f"{MODEL}_parity"
NUM_SERVERS = 4
NUM_PARITY = 2
SERVICE_MS = 20
RATE_QPS = 60  # load 0.3 on the four
DEADLINE_MS = 1000
STALL_EVERY_S = 10
STALL_S = 1
WARM_UP_S = 3
NUM_CLIENT_QUERIES = 200
CODE = {"scheme": "tile", "k": 2}
RECIPE = {
    "deployed": ["--arch", "mlp", "--seed", "1"],
    "parity": ["--scheme", CODE["scheme"], "--k", str(CODE["k"]), "--seed", "1"],
}
POLICIES = {
    "round_robin": {"policy": "none"},
    "none": {"policy": "none"},
    "hedge": {"policy": "hedge"},
    "coded": {"policy": "coded", "code": CODE},
    "hybrid": {"policy": "hybrid", "code": CODE},
}
# What a balancer does that looks at connections alone.
BALANCER = {"balancing": {"worker_choice": "round_robin"},
            "health": {"heartbeat_timeout": "60s"}}


@dataclasses.dataclass
class Copy:
    """One model on one server: what is to be written for it."""
    folder: pathlib.Path
    name: str
    bundle: str
    service_ms: float
    seed: int
    export: Callable  # export(format, out): by parm-train, under `name`

    @property
    def told(self):
        return manifest(self.bundle)

    @property
    def pace(self):
        """What paced_model.py is told, in the words of all of them."""
        return {"code": str(ROOT / "examples"),
                "file": str(pathlib.Path(self.bundle) / self.told["file"]),
                "service_ms": self.service_ms, "seed": self.seed}


@dataclasses.dataclass
class Kind:
    """A kind of model servers."""
    name: str
    write: Callable  # write(copy)
    start: Callable  # start(folder, log), a model_servers.Server
    protocols: tuple  # that the frontend may speak to it; the first by default
    parity_on: str


def manifest(bundle):
    return yaml.safe_load((pathlib.Path(bundle) / "bundle.yaml").read_text())


def parity_service_ms(bundle):
    return SERVICE_MS * manifest(bundle)["measured"]["relative_cost"]


def start_servers(kind, args, name, bundle, service_ms, count):
    """Servers of one model each; the caller stops them, whatever happens."""
    def export(form, out):
        subprocess.run([os.path.join(args.bin, "parm-train"), "export", "--bundle", bundle,
                        "--format", form, "--name", name, "--out", out], check=True,
                       stdout=subprocess.DEVNULL)

    for index in range(count):
        folder = pathlib.Path(args.out) / f"{name}{index}"
        folder.mkdir()
        kind.write(Copy(folder, name, bundle, service_ms, index, export))
        yield kind.start(folder, pathlib.Path(args.out) / f"{name}{index}.log")


def endpoint(server, protocol):
    return server.http if protocol == "http" else f"grpc://{server.grpc}"


def frontend_config(args, paths, servers, parity_servers, parity_workers, policy):
    workers = [{"endpoint": endpoint(server, args.protocol), "max_in_flight": 4,
                "serves": [{"name": MODEL, "bundle": paths["deployed"]}]}
               for server in servers]
    workers += [{"endpoint": endpoint(server, args.protocol), "max_in_flight": 4,
                 "serves": [{"name": MODEL, "model": PARITY, "bundle": paths["parity"]}]}
                for server in parity_servers]
    workers += [{"endpoint": worker} for worker in parity_workers]
    return {**(BALANCER if policy == "round_robin" else {}),
            "workers": workers,
            "models": [{"name": MODEL, "deadline": f"{DEADLINE_MS}ms",
                        "redundancy": POLICIES[policy]}]}


def parity_worker_config(bundle):
    return {"bundles": [{"path": bundle, "pace": {
        "service": f"{1000 * parity_service_ms(bundle):.0f}us", "spread": 0.05}}]}


def read_idx(path):
    data = gzip.open(path, "rb").read()
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def ask_with_tritonclient(http, data, spec):
    """An unmodified client, without load: the share of right answers."""
    import tritonclient.http as client
    folder = data.removeprefix("idx:")
    pictures = read_idx(f"{folder}/t10k-images-idx3-ubyte.gz")[:NUM_CLIENT_QUERIES]
    labels = read_idx(f"{folder}/t10k-labels-idx1-ubyte.gz")
    right = 0
    with client.InferenceServerClient(http) as server:
        metadata = server.get_model_metadata(MODEL)
        for picture, label in zip(pictures, labels):
            tensor = client.InferInput(metadata["inputs"][0]["name"], [1, *spec["shape"][1:]],
                                       spec["datatype"])
            tensor.set_data_from_numpy(picture.astype(np.float32).reshape(1, *spec["shape"][1:]))
            reply = server.infer(MODEL, [tensor])
            right += int(reply.as_numpy(metadata["outputs"][0]["name"]).argmax()) == label
    return right / len(pictures)


def run_policy(kind, args, paths, servers, parity_servers, policy, repeat):
    """What parm-load wrote of one run of a policy."""
    folder = os.path.join(args.out, f"{policy}.{repeat}")
    with ProcessSet(folder) as processes:
        served = ServedLoad(processes, args.bin, folder)
        workers = [] if parity_servers else served.start_workers(
            [parity_worker_config(paths["parity"])] * NUM_PARITY)
        http = served.start_frontend(
            frontend_config(args, paths, servers, parity_servers, workers, policy))
        right = ask_with_tritonclient(http, args.data, manifest(paths["deployed"])["inputs"][0])
        print(f"{kind.name} example: {policy}: tritonclient: {NUM_CLIENT_QUERIES} queries, "
              f"{100 * right:.1f} % right; now {RATE_QPS} queries/s for {args.seconds} s",
              flush=True)
        arguments = ["--model", MODEL, "--data", args.data,
                     "--reference-logits", paths["logits"], "--rate", str(RATE_QPS),
                     "--deadline", f"{DEADLINE_MS}ms", "--seed", str(args.seed + repeat),
                     "--repeat", str(repeat),
                     "--name", kind.name, "--policy", policy, "--scenario", args.scenario,
                     "--load", str(RATE_QPS * SERVICE_MS / 1000 / NUM_SERVERS),
                     "--workers", str(NUM_SERVERS)]
        if "code" in POLICIES[policy]:
            arguments += ["--code", f"{CODE['scheme']}:{CODE['k']}:1"]
        served.start_load(http, args.seconds, WARM_UP_S, arguments)
        stall_at = WARM_UP_S + STALL_EVERY_S / 2
        while stall_at + STALL_S < WARM_UP_S + args.seconds:
            served.sleep_until(stall_at)
            servers[0].pause()
            try:
                served.sleep_until(stall_at + STALL_S)
            finally:
                servers[0].resume()
            stall_at += STALL_EVERY_S
        record = served.finish()
        for server in [*servers, *parity_servers]:
            server.check_alive()
        return record


def parse_args(kind):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=40,
                        help="measured part of each policy's run")
    parser.add_argument("--policies", default=",".join(POLICIES),
                        help="which ones, in this order, by turns")
    parser.add_argument("--repeats", type=int, default=1,
                        help="runs of each policy; the table has medians and ranges")
    parser.add_argument("--protocol", choices=kind.protocols, default=kind.protocols[0],
                        help="between frontend and servers")
    parser.add_argument("--parity-on", choices=("workers", "servers"), default=kind.parity_on,
                        help="parm-workers, or further servers of this kind")
    parser.add_argument("--out", default=str(ROOT / "build/examples" / kind.name))
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--cache", default=str(ROOT / "build/demo/bundles"))
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f"--repeats: got {args.repeats}, want at least 1")
    args.policies = args.policies.split(",")
    unknown = set(args.policies) - set(POLICIES)
    if unknown:
        parser.error(f"--policies: got {', '.join(unknown)}, want of {', '.join(POLICIES)}")
    for name in ("out", "bin", "cache"):
        setattr(args, name, os.path.abspath(getattr(args, name)))
    args.scenario = (f"one of {NUM_SERVERS} {kind.name} servers stopped {STALL_S} s every "
                     f"{STALL_EVERY_S} s")
    return args


def run_loads(kind, args, paths):
    """What parm-load wrote of each run, in order."""
    started = []
    try:
        for server in start_servers(kind, args, MODEL, paths["deployed"], SERVICE_MS, NUM_SERVERS):
            started.append(server)
        if args.parity_on == "servers":
            for server in start_servers(kind, args, PARITY, paths["parity"],
                                        parity_service_ms(paths["parity"]), NUM_PARITY):
                started.append(server)
        servers, parity_servers = started[:NUM_SERVERS], started[NUM_SERVERS:]
        for server in servers:
            server.wait_ready(MODEL)
        for server in parity_servers:
            server.wait_ready(PARITY)
        return [run_policy(kind, args, paths, servers, parity_servers, policy, repeat)
                for repeat in range(args.repeats) for policy in args.policies]
    finally:
        for server in started:
            server.stop()


def run_all(kind):
    args = parse_args(kind)
    shutil.rmtree(args.out, ignore_errors=True)
    os.makedirs(args.out)
    paths = demo_bundles.ensure_bundles(args.bin, args.data, args.cache, RECIPE)
    record = RunRecord(f"{kind.name} example", args.seed, {
        "scenario": args.scenario, "protocol": args.protocol, "parity_on": args.parity_on,
        "servers": NUM_SERVERS, "parity_servers": NUM_PARITY, "policies": args.policies,
        "service": f"paced {SERVICE_MS} ms (parity: times its measured cost)",
        "deadline_ms": DEADLINE_MS, "recipe": RECIPE})
    loads = run_loads(kind, args, paths)
    runs = [load["runs"][0] for load in loads]
    for run in runs:
        record.add(run)
    record.add_to_config("load", loads[0]["config"])
    out = pathlib.Path(args.out)
    record.write(out / "record.json", os.path.join(args.bin, "parm-load"))
    refused = [run for run in runs if run["refused"]]
    measured = [run for run in runs if not run["refused"]]
    text = report.table(measured)
    (out / "table.txt").write_text(text + "\n")
    where = "parm-workers" if args.parity_on == "workers" else f"{kind.name} servers"
    print(f"\n{args.scenario}, {args.protocol} to them; {RATE_QPS} queries/s, {SERVICE_MS} ms paced "
          f"service; parity on {NUM_PARITY} {where} (coded, hybrid)\n\n{text}\n\n"
          f"run record  {out / 'record.json'}")
    for run in refused:
        print(f"{run['policy']}, repeat {run['repeat']}, is refused: {run['refused']}",
              file=sys.stderr)
    return 3 if refused else 0


def run(kind):
    driver.run(f"{kind.name} example", lambda: run_all(kind))
