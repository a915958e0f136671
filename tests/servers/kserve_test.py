"""parm-frontend before KServe's SDK, over HTTP and over gRPC, and before KServe's
own clients.

Over HTTP it answers 400 to gzip with binary tensors, and to binary tensors with a
JSON content type; through the frontend all forms get the answer that plain JSON
gets directly. Over gRPC the server's own answers come through.
"""

import json
import os
import pathlib
import subprocess

import frontends
import model_servers

DATATYPES = {"echo": ("FP32",), "several": ("FP64", "INT8", "INT64", "UINT8"),
             "half": ("FP16",), "text": ("BYTES",), "flag": ("BOOL",)}

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


def write_models(folder):
    (folder / "models.py").write_text(SCRIPT)
    return DATATYPES


def start(folder, log):
    return model_servers.start_kserve(folder / "models.py", log)


def check_clients(server, frontend):
    """KServe's clients, in its environment: its stubs and Triton's cannot be
    imported into one process."""
    addresses = {"direct_http": server.http, "direct_grpc": server.grpc,
                 "http": frontend.http, "grpc": frontend.grpc}
    subprocess.run(
        [model_servers.environment("kserve") / "bin" / "python",
         pathlib.Path(__file__).parent / "kserve_clients.py"],
        env={**os.environ, "PARM_ADDRESSES": json.dumps(addresses)}, check=True, timeout=300)


if __name__ == "__main__":
    frontends.run(lambda: frontends.check_tolerant(
        "kserve", start, write_models, last="flag", count=300, seed=3,
        only_grpc=("half", "text"), also=check_clients))
