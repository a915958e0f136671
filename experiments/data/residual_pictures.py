"""Reads picture archives NAME.res.xz: xz over records of one label byte and
planar RGB pixels, which two reversible steps made smaller. Writes the .npy files
of `parm-train --data npy:DIR`.
"""

import lzma
import os

import numpy as np


def decode(packed, height, width, label_bytes=1):
    """(pictures uint8 [N, 3, height, width], labels uint8 [N, label_bytes]) of
    an archive's bytes.
    """
    size = label_bytes + 3 * height * width
    data = lzma.decompress(packed)
    if len(data) == 0 or len(data) % size != 0:
        raise RuntimeError(f"archive holds {len(data)} bytes, want a multiple "
                           f"of {size}")
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    planes = records[:, label_bytes:].reshape(-1, 3, height, width)
    # Every row but the first holds its difference from the row above it, and
    # red and blue theirs from green, modulo 256.
    planes = np.add.accumulate(planes, axis=2, dtype=np.uint8)
    planes[:, 0] += planes[:, 1]
    planes[:, 2] += planes[:, 1]
    return planes, records[:, :label_bytes]


def _read(paths, side):
    parts = []
    for path in paths:
        with open(path, "rb") as file:
            try:
                parts.append(decode(file.read(), side, side))
            except lzma.LZMAError as error:
                raise RuntimeError(f"{path} is damaged: {error}") from error
    return tuple(np.concatenate(arrays) for arrays in zip(*parts))


def convert_cifar10(source, out):
    """CIFAR-10 as `source` has it (train_0.res.xz .. train_4.res.xz,
    test.res.xz) to `out`, which appears whole or not at all.
    """
    unfinished = f"{out}.unfinished"
    os.makedirs(unfinished, exist_ok=True)
    splits = {"train": [f"train_{i}" for i in range(5)], "test": ["test"]}
    for split, names in splits.items():
        pictures, labels = _read(
            [os.path.join(source, f"{name}.res.xz") for name in names], side=32)
        np.save(os.path.join(unfinished, f"{split}_x.npy"), pictures)
        np.save(os.path.join(unfinished, f"{split}_y.npy"),
                labels[:, 0].astype(np.int64))
    os.rename(unfinished, out)
