"""parm-frontend before a real MLServer: clients speak binary, it JSON or gRPC.

Over gRPC its own answers come through; it fails where an id is not ASCII.
"""

import json

import frontends
import model_servers

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
    for name, datatypes in DATATYPES.items():
        folder = repository / name
        folder.mkdir()
        (folder / "echo.py").write_text(MODEL)

        def tensors(prefix):
            return [{"name": prefix + d, "datatype": d, "shape": [-1, -1]} for d in datatypes]

        (folder / "model-settings.json").write_text(json.dumps({
            "name": name, "implementation": "echo.Echo", "parameters": {"version": "v1"},
            "inputs": tensors("x"), "outputs": tensors("y")}))
    return DATATYPES


if __name__ == "__main__":
    frontends.run(lambda: frontends.check_tolerant(
        "mlserver", model_servers.start_mlserver, write_models, last="text", count=300, seed=2,
        ids=["1", "a b", "x" * 100]))
