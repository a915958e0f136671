"""stalled_server.py with MLServer: models as `parm-train export` writes them,
parity on servers of the same kind, gRPC in between.
"""

import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import model_servers  # noqa: E402
import stalled_server  # noqa: E402


def write(copy):
    copy.export("mlserver", copy.folder)
    model = copy.folder / copy.name
    settings = json.loads((model / "model-settings.json").read_text())
    # The runtime that is exported wants torch, which these servers are spared.
    module = f"paced_{copy.name}"
    shutil.copy(pathlib.Path(__file__).parent / "paced_model.py", model / f"{module}.py")
    settings["implementation"] = f"{module}.PacedModel"
    settings["parameters"]["extra"] = copy.pace
    (model / "model-settings.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    stalled_server.run(stalled_server.Kind(
        "mlserver", write, model_servers.start_mlserver, protocols=("grpc", "http"),
        parity_on="servers"))
