"""stalled_server.py with KServe's SDK: parity on servers of the same kind, from
the TorchScript file that `parm-train export` writes; binary tensors over HTTP, or gRPC.
"""

import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import model_servers  # noqa: E402
import stalled_server  # noqa: E402


def write(copy):
    file = copy.folder / "model.pt"
    copy.export("torchscript", file)
    shutil.copy(pathlib.Path(__file__).parent / "paced_model.py", copy.folder)
    (copy.folder / "model.json").write_text(json.dumps(
        {"name": copy.name, "inputs": copy.told["inputs"], "outputs": copy.told["outputs"],
         **copy.pace, "file": str(file)}))


def start(folder, log):
    return model_servers.start_kserve(folder / "paced_model.py", log)


if __name__ == "__main__":
    stalled_server.run(stalled_server.Kind(
        "kserve", write, start, protocols=("http", "grpc"), parity_on="servers"))
