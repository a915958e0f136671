"""Trains the demo's two models once and keeps them, keyed by their recipe and
by the program that followed it.
"""

import hashlib
import json
import os
import shutil

from experiments.harness.processes import ProcessSet

MODEL = "fashion"


class _Refused(Exception):
    """A program did not take what lies in the cache, and has said why."""


def _run(processes, command):
    print("demo:", " ".join(command), flush=True)
    name = os.path.basename(command[0])
    status = processes.run(name, command)
    if status != 0:
        raise _Refused(f"{name} ended with status {status}")


def _file_hash(path):
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RuntimeError(f"cannot read {path}: {error.strerror}") from error


def _train_what_is_missing(processes, train, data, paths, recipe):
    # Bundles are written atomically: what is there is whole. A checkpoint of a
    # training that was interrupted is taken up again.
    if not os.path.exists(os.path.join(paths["deployed"], "bundle.yaml")):
        _run(processes, [train, "deployed", "--data", data,
                         "--out", paths["deployed"], "--name", MODEL,
                         "--resume", *recipe["deployed"]])
    if not os.path.exists(os.path.join(paths["parity"], "bundle.yaml")):
        _run(processes, [train, "parity", "--deployed", paths["deployed"],
                         "--data", data, "--out", paths["parity"],
                         "--resume", *recipe["parity"]])
    # The report is written last. It checks the lineage, too.
    if not os.path.exists(paths["evaluation"]):
        _run(processes, [train, "evaluate", "--deployed", paths["deployed"],
                         "--parity", paths["parity"], "--data", data,
                         "--json", paths["evaluation"] + ".part",
                         "--logits", paths["logits"]])
        os.rename(paths["evaluation"] + ".part", paths["evaluation"])


def _check_bundles(processes, worker, paths, folder):
    """Asks a worker, whose rules may be newer than the cache."""
    config = os.path.join(folder, "check.yaml")
    with open(config, "w", encoding="utf-8") as file:
        json.dump({"id": "check", "bind": "tcp://127.0.0.1:0",
                   "bundles": [{"path": paths[role]}
                               for role in ("deployed", "parity")]}, file)
    _run(processes, [worker, "--check-config", "--config", config])


def ensure_bundles(bin_dir, data, cache_dir, recipe):
    """A dictionary of paths: deployed, parity, logits; and the evaluation.

    `recipe` maps command ("deployed", "parity") to further arguments. Bundles
    of another recipe, data set or trainer are left where they are. What is
    there and refused is trained anew, once.
    """
    train = os.path.join(bin_dir, "parm-train")
    key_text = json.dumps([_file_hash(train), data, recipe])
    key = hashlib.sha256(key_text.encode()).hexdigest()[:12]
    folder = os.path.join(os.path.abspath(cache_dir), key)
    paths = {
        "deployed": os.path.join(folder, MODEL),
        "parity": os.path.join(folder, "parity"),
        "logits": os.path.join(folder, "logits.npy"),
        "evaluation": os.path.join(folder, "evaluation.json"),
    }
    is_cached = os.path.isdir(folder)
    while True:
        os.makedirs(folder, exist_ok=True)
        try:
            with ProcessSet(folder) as processes:
                _train_what_is_missing(processes, train, data, paths, recipe)
                _check_bundles(processes, os.path.join(bin_dir, "parm-worker"),
                               paths, folder)
            return paths
        except _Refused as refusal:
            if not is_cached:
                raise RuntimeError(str(refusal)) from refusal
            print(f"demo: {refusal}: training anew what was in {folder}",
                  flush=True)
        is_cached = False
        shutil.rmtree(folder)


def ensure_backup(bin_dir, data, deployed, recipe):
    """The path of a backup bundle for the bundle `deployed`, beside it."""
    path = os.path.join(os.path.dirname(deployed), "backup")
    # Its folder is named by what the trainer is; the recipe is written here.
    stamp = path + ".recipe.json"
    made_by = json.dumps(recipe)
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as file:
            if file.read() == made_by:
                return path
    with ProcessSet(os.path.dirname(deployed)) as processes:
        _run(processes, [os.path.join(bin_dir, "parm-train"), "backup",
                         "--deployed", deployed, "--data", data, "--out", path,
                         "--force", *recipe])
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(made_by)
    return path
