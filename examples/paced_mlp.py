"""ParM's MLP in numpy, paced as an accelerator: what the examples' servers run.

It computes the real answer with the weights of a bundle's TorchScript file, so
that no server needs torch, and says how long the reply is to be held. Deployed
and parity models alike; a parity model with several outputs answers
[k, batch, classes].

The frontend knows nothing of this code: that it is the bundle's model the
bundle's probes prove.
"""

import math
import pickle
import random
import zipfile

import numpy as np


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


class PacedMlp:
    SPREAD = 0.05  # standard deviation over mean

    def __init__(self, file, service_ms, seed):
        self._weights = read_weights(file)
        self._service_s = float(service_ms) / 1000
        self._draw = random.Random(int(seed))

    def service_s(self):
        """How long the next request takes, from its start to its reply."""
        return self._service_s * max(0.5, self._draw.gauss(1, self.SPREAD))

    def _cells(self, pictures):
        """Whole pictures, flat: [batch, values]. Of a parity model that looks at the
        cells of its grid one by one: [heads, batch, values].
        """
        w = self._weights
        flat = pictures.reshape(len(pictures), -1)
        count = flat.shape[1] // w["first_weight"].shape[1]
        if count == 1:
            return flat
        heads = len(w["head_weight"])
        columns = math.ceil(math.sqrt(heads))
        batch, channels, height, width = pictures.shape
        rows = count // columns
        cells = pictures.reshape(batch, channels, rows, height // rows, columns, width // columns)
        return cells.transpose(2, 4, 0, 1, 3, 5).reshape(count, batch, -1)[:heads]

    def forward(self, pictures):
        w = self._weights
        x = self._cells(pictures.astype(np.float32))
        x = x * np.float32(w["input_scale"]) + np.float32(w["input_shift"])
        for layer in ("first", "second"):
            x = np.maximum(x @ w[f"{layer}_weight"].T + w[f"{layer}_bias"], 0)
        heads, bias = w["head_weight"], w["head_bias"]
        return x @ heads.swapaxes(-1, -2) + (bias if heads.ndim == 2 else bias[:, None])
