"""parm-frontend before KServe's SDK: clients send what it refuses directly.

It answers 400 to gzip with binary tensors, and to binary tensors with a JSON
content type; through the frontend all forms get the answer that plain JSON
gets directly.
"""

import pathlib
import tempfile

import frontends
import model_servers
import transparency

DATATYPES = {"echo": ("FP32",), "several": ("FP64", "INT8", "INT64", "UINT8"), "flag": ("BOOL",)}

SCRIPT = f"""
import kserve

DATATYPES = {DATATYPES!r}


class Echo(kserve.Model):
    def __init__(self, name):
        super().__init__(name)
        self.ready = True

    def tensors(self, prefix):
        return [{{"name": prefix + d, "datatype": d, "shape": [-1, -1]}}
                for d in DATATYPES[self.name]]

    async def get_input_types(self):
        return self.tensors("x")

    async def get_output_types(self):
        return self.tensors("y")

    async def predict(self, payload, headers=None, response_headers=None):
        outputs = []
        for tensor in payload.inputs:
            output = kserve.InferOutput("y" + tensor.name[1:], tensor.shape, tensor.datatype)
            output.set_data_from_numpy(tensor.as_numpy(), payload.use_binary_outputs or False)
            outputs.append(output)
        return kserve.InferResponse(payload.id or "none", self.name, outputs)


if __name__ == "__main__":
    kserve.ModelServer().start([Echo(name) for name in DATATYPES])
"""


def main():
    with tempfile.TemporaryDirectory(prefix="parm_kserve") as name:
        folder = pathlib.Path(name)
        (folder / "models.py").write_text(SCRIPT)
        models = [{"name": model, "inputs": [("x" + d, d) for d in datatypes],
                   "outputs": [("y" + d, d) for d in datatypes],
                   "binary": False, "compress": False, "spoil": False}
                  for model, datatypes in DATATYPES.items()]
        server = model_servers.start_kserve(folder / "models.py", folder / "kserve.log")
        frontend = None
        try:
            server.wait_ready("flag")
            yaml = (f'workers: [{{endpoint: "{server.http}"}}]\nmodels:\n' + "".join(
                f"  - {{name: {model['name']}, deadline: 20s, batching: {{max_batch_size: 8,"
                " timeout: 0ms}}\n" for model in models))
            frontend = frontends.Frontend(yaml, folder).wait_ready()
            answered = transparency.check(server.http, frontend.http, models, 300, seed=3)
            print(f"{answered} of 300 requests, half of them binary, answered alike")
            assert answered == 300
        except AssertionError:
            print((folder / "kserve.log").read_text()[-3000:])
            raise
        finally:
            for started in (frontend, server):
                if started is not None:
                    started.stop()


if __name__ == "__main__":
    frontends.run(main)
