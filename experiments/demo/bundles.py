"""Trains the demo's two models once and keeps them, keyed by their recipe."""

import hashlib
import json
import os
import subprocess

MODEL = "fashion"


def _run(command):
    print("demo:", " ".join(command), flush=True)
    subprocess.run(command, check=True)


def _trainer_version(train):
    return subprocess.run([train, "--version"], check=True,
                          capture_output=True, text=True).stdout.strip()


def ensure_bundles(train, data, cache_dir, recipe):
    """A dictionary of paths: deployed, parity, logits; and the evaluation.

    `recipe` maps command ("deployed", "parity") to further arguments. Bundles
    of another recipe are left where they are.
    """
    key_text = json.dumps([_trainer_version(train), data, recipe])
    key = hashlib.sha256(key_text.encode()).hexdigest()[:12]
    folder = os.path.join(cache_dir, key)
    paths = {
        "deployed": os.path.join(folder, MODEL),
        "parity": os.path.join(folder, "parity"),
        "logits": os.path.join(folder, "logits.npy"),
        "evaluation": os.path.join(folder, "evaluation.json"),
    }
    os.makedirs(folder, exist_ok=True)
    # Bundles are written atomically: what is there is whole. A checkpoint of a
    # training that was interrupted is taken up again.
    if not os.path.exists(os.path.join(paths["deployed"], "bundle.yaml")):
        _run([train, "deployed", "--data", data, "--out", paths["deployed"],
              "--name", MODEL, "--resume", *recipe["deployed"]])
    if not os.path.exists(os.path.join(paths["parity"], "bundle.yaml")):
        _run([train, "parity", "--deployed", paths["deployed"], "--data", data,
              "--out", paths["parity"], "--resume", *recipe["parity"]])
    # The report is written last.
    if not os.path.exists(paths["evaluation"]):
        _run([train, "evaluate", "--deployed", paths["deployed"],
              "--parity", paths["parity"], "--data", data,
              "--json", paths["evaluation"] + ".part",
              "--logits", paths["logits"]])
        os.rename(paths["evaluation"] + ".part", paths["evaluation"])
    return paths
