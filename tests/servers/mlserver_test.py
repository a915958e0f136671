"""parm-frontend before a real MLServer: clients speak binary, it speaks JSON."""

import json
import pathlib
import tempfile

import frontends
import model_servers
import transparency

MODEL = '''
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Echo(MLModel):
    """Every output is the input of the same number."""

    async def predict(self, payload):
        return InferenceResponse(
            id=payload.id, model_name=self.name, model_version=self.version,
            outputs=[ResponseOutput(name=output.name, datatype=tensor.datatype,
                                    shape=tensor.shape, data=tensor.data)
                     for output, tensor in zip(self.settings.outputs, payload.inputs)])
'''

DATATYPES = {"echo": ("FP32",), "several": ("FP64", "INT8", "INT64", "UINT8"),
             "text": ("BYTES", "BOOL")}


def write_models(repository):
    models = []
    for name, datatypes in DATATYPES.items():
        folder = repository / name
        folder.mkdir(parents=True)
        (folder / "echo.py").write_text(MODEL)

        def tensors(prefix):
            return [{"name": prefix + d, "datatype": d, "shape": [-1, -1]} for d in datatypes]

        (folder / "model-settings.json").write_text(json.dumps({
            "name": name, "implementation": "echo.Echo", "parameters": {"version": "v1"},
            "inputs": tensors("x"), "outputs": tensors("y")}))
        models.append({"name": name, "inputs": [("x" + d, d) for d in datatypes],
                       "outputs": [("y" + d, d) for d in datatypes],
                       # It checks names and shapes less than the frontend does.
                       "binary": False, "compress": False, "spoil": False})
    return models


def main():
    with tempfile.TemporaryDirectory(prefix="parm_mlserver") as name:
        folder = pathlib.Path(name)
        models = write_models(folder / "models")
        server = model_servers.start_mlserver(folder / "models", folder / "mlserver.log")
        frontend = None
        try:
            server.wait_ready("text")
            yaml = (f'workers: [{{endpoint: "{server.http}"}}]\nmodels:\n' + "".join(
                f"  - {{name: {model['name']}, deadline: 20s, batching: {{max_batch_size: 8,"
                " timeout: 0ms}}\n" for model in models))
            frontend = frontends.Frontend(yaml, folder).wait_ready()
            answered = transparency.check(server.http, frontend.http, models, 300, seed=2)
            print(f"{answered} of 300 requests, half of them binary, answered alike")
            assert answered == 300
        except AssertionError:
            print((folder / "mlserver.log").read_text()[-3000:])
            raise
        finally:
            for started in (frontend, server):
                if started is not None:
                    started.stop()


if __name__ == "__main__":
    frontends.run(main)
