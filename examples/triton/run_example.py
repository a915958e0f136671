"""stalled_server.py with Triton. Deployed models have names of their own there;
parity models are what `parm-train export` writes.
"""

import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import model_servers  # noqa: E402
import stalled_server  # noqa: E402


def deployed_config(copy):
    def tensor(name, spec):
        return (f'[{{ name: "{name}" data_type: TYPE_{spec["datatype"]} '
                f'dims: {spec["shape"][1:]} }}]')

    return (f'name: "{copy.name}"\nbackend: "python"\nmax_batch_size: 8\n'
            f'input {tensor("IMAGE", copy.told["inputs"][0])}\n'
            f'output {tensor("SCORES", copy.told["outputs"][0])}\n'
            "instance_group [{ kind: KIND_CPU count: 1 }]\n")


def write(copy):
    model = copy.folder / copy.name
    if copy.name == stalled_server.PARITY:
        copy.export("triton", copy.folder)
        config = (model / "config.pbtxt").read_text()
        # Its model.py wants torch, which these servers are spared.
        (model / "1" / "model.py").unlink()
    else:
        (model / "1").mkdir(parents=True)
        config = deployed_config(copy)
    shutil.copy(pathlib.Path(__file__).parent / "paced_model.py", model / "1" / "model.py")
    (model / "config.pbtxt").write_text(config + "".join(
        f'parameters [{{ key: "{key}" value: {{ string_value: "{value}" }} }}]\n'
        for key, value in copy.pace.items()))


if __name__ == "__main__":
    stalled_server.run(stalled_server.Kind(
        "triton", write, model_servers.start_triton, protocols=("http", "grpc"),
        parity_on="workers"))
