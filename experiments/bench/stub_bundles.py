"""Bundles of parm-test-worker's linear model, for measuring what a hop costs at
sizes of queries for which there is no trained model. The model is linear, so it
is its own parity model for the code `sum`.
"""

import hashlib
import json
import math
import os
import struct

MODEL = "stub"


def _varint(value):
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _bytes_field(number, value):
    if isinstance(value, str):
        value = value.encode()
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _tensor_message(tensor):
    return (_bytes_field(1, tensor["name"]) +
            _bytes_field(2, tensor["datatype"]) +
            _bytes_field(3, b"".join(map(_varint, tensor["shape"]))))


def _bundle_id(manifest, model_file):
    """As proto/README.md states it, for what these manifests hold."""
    identity = b"".join([
        _bytes_field(2, manifest["model"]), _bytes_field(4, manifest["version"]),
        _bytes_field(5, manifest["role"]),
        *(_bytes_field(8, _tensor_message(each))
          for each in manifest["inputs"]),
        *(_bytes_field(9, _tensor_message(each))
          for each in manifest["outputs"]),
        _bytes_field(10, manifest["preprocessing"])])
    return hashlib.sha256(
        hashlib.sha256(model_file).digest() + identity).hexdigest()


def _write(folder, manifest, model_file):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.txt"), "wb") as file:
        file.write(model_file)
    with open(os.path.join(folder, "bundle.yaml"), "w",
              encoding="utf-8") as file:
        json.dump({**manifest, "file": "model.txt",
                   "file_sha256": hashlib.sha256(model_file).hexdigest()},
                  file)


def _deployed(shape):
    """(manifest, model file): FP32 `shape`, two outputs."""
    return {
        "format": 1, "model": MODEL, "version": "1", "role": "deployed",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, *shape]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 2]}],
        "preprocessing": "none"}, (
            f"parm-linear 2\nseed 1\ninputs {math.prod(shape)}\noutputs 2\n"
            "scale 1\nbias 0\ncells 1\n").encode()


def write_bundles(folder, shape, k=2):
    """(deployed, parity of `sum` over k) for queries of FP32 `shape`."""
    manifest, model_file = _deployed(shape)
    deployed = os.path.join(folder, "deployed")
    parity = os.path.join(folder, "parity")
    _write(deployed, manifest, model_file)
    _write(parity, {
        **manifest, "role": "parity",
        "lineage": {"deployed_sha256": _bundle_id(manifest, model_file),
                    "code": {"scheme": "sum", "k": k, "r": 1}}}, model_file)
    return deployed, parity


def write_backup(folder, shape):
    """The same model as a backup of itself."""
    manifest, model_file = _deployed(shape)
    backup = os.path.join(folder, "backup")
    _write(backup, {**manifest, "role": "backup"}, model_file)
    return backup


def write_data(folder, num_floats, num_samples=32):
    """Test data of one-channel pictures that fill such a query; the folder."""
    os.makedirs(folder, exist_ok=True)
    pixels = b"".join(
        hashlib.shake_256(struct.pack(">I", index)).digest(num_floats)
        for index in range(num_samples))
    with open(os.path.join(folder, "t10k-images-idx3-ubyte"), "wb") as file:
        file.write(struct.pack(">IIII", 0x803, num_samples, 1, num_floats))
        file.write(pixels)
    with open(os.path.join(folder, "t10k-labels-idx1-ubyte"), "wb") as file:
        file.write(struct.pack(">II", 0x801, num_samples))
        file.write(bytes(index % 2 for index in range(num_samples)))
    return folder
