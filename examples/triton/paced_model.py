"""A Triton model (Python backend): ParM's MLP, paced as an accelerator.

It computes the real answer with the weights of a bundle's TorchScript file, and
holds the reply until a drawn service time has passed since it began, one
request at a time. Parameters of config.pbtxt: file, service_ms, seed.

The frontend knows nothing of this code: that it is the bundle's model the
bundle's probes prove.
"""

import json
import pickle
import random
import time
import zipfile

import numpy as np
import triton_python_backend_utils as pb


class _Module:
    """Stands in for the classes of a TorchScript file."""

    def __setstate__(self, state):
        self.state = state


def _tensor(storage, offset, size, stride, *_):
    count = int(np.prod(size))
    assert stride == tuple(int(np.prod(size[i + 1:])) for i in range(len(size)))
    return storage[offset:offset + count].reshape(size)


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive, folder):
        super().__init__(archive.open(f"{folder}/data.pkl"))
        self.archive = archive
        self.folder = folder

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return _tensor
        return name if name.endswith("Storage") else _Module

    def persistent_load(self, pid):
        _, kind, key, _, _ = pid
        assert kind == "FloatStorage", kind
        return np.frombuffer(self.archive.read(f"{self.folder}/data/{key}"), np.float32)


def read_weights(path):
    """Attributes of the module in a TorchScript file, without torch."""
    with zipfile.ZipFile(path) as archive:
        folder = archive.namelist()[0].split("/")[0]
        return _Unpickler(archive, folder).load().state


class TritonPythonModel:
    SPREAD = 0.05  # standard deviation over mean

    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.weights = read_weights(parameters["file"])
        self.input = config["input"][0]["name"]
        self.output = config["output"][0]["name"]
        self.service_s = float(parameters["service_ms"]) / 1000
        self.draw = random.Random(int(parameters["seed"]))

    def forward(self, pictures):
        w = self.weights
        x = pictures.reshape(len(pictures), -1).astype(np.float32)
        x = x * np.float32(w["input_scale"]) + np.float32(w["input_shift"])
        for layer in ("first", "second"):
            x = np.maximum(x @ w[f"{layer}_weight"].T + w[f"{layer}_bias"], 0)
        return x @ w["head_weight"].T + w["head_bias"]

    def execute(self, requests):
        replies = []
        for request in requests:
            free_at = time.monotonic() + self.service_s * max(
                0.5, self.draw.gauss(1, self.SPREAD))
            scores = self.forward(pb.get_input_tensor_by_name(request, self.input).as_numpy())
            time.sleep(max(0, free_at - time.monotonic()))
            replies.append(pb.InferenceResponse([pb.Tensor(self.output, scores)]))
        return replies
