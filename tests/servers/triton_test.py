"""parm-frontend before a real Triton, over HTTP and over gRPC: transparent to
clients of both protocols, and deaf to a death.
"""

import concurrent.futures
import pathlib
import tempfile
import threading
import time
import urllib.request

import frontends
import grpc_transparency
import model_servers
import transparency
from tritonclient.grpc import service_pb2 as messages

MODEL = '''
import json
import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    """Every output is the input of the same number, or of the last one."""

    def initialize(self, args):
        self.outputs = [o["name"] for o in json.loads(args["model_config"])["output"]]
        self.inputs = [i["name"] for i in json.loads(args["model_config"])["input"]]
        self.service_s = 0.02 if args["model_name"] == "paced" else 0

    def execute(self, requests):
        replies = []
        for request in requests:
            time.sleep(self.service_s)
            inputs = [pb.get_input_tensor_by_name(request, n).as_numpy() for n in self.inputs]
            replies.append(pb.InferenceResponse([
                pb.Tensor(name, inputs[min(i, len(inputs) - 1)])
                for i, name in enumerate(self.outputs)
                if name in request.requested_output_names()]))
        return replies
'''


def write_model(repository, name, inputs, outputs):
    def tensors(key, specs):
        words = ", ".join(
            '{ name: "%s" data_type: TYPE_%s dims: [-1] }'
            % (tensor, "STRING" if datatype == "BYTES" else datatype)
            for tensor, datatype in specs)
        return f"{key} [{words}]\n"

    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(MODEL)
    (folder / "config.pbtxt").write_text(
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: 8\n' + tensors("input", inputs)
        + tensors("output", outputs) + "instance_group [{ kind: KIND_CPU count: 1 }]\n")
    return {"name": name, "inputs": inputs, "outputs": outputs}


def write_models(repository):
    models = [write_model(repository, f"echo_{datatype}", [("x", datatype)], [("y", datatype)])
              for datatype in ("FP32", "FP16", "UINT8", "BYTES")]
    # A process for each model: the other datatypes share some.
    for name, datatypes in (("signed", ("INT8", "INT16", "INT32", "INT64")),
                            ("unsigned", ("UINT16", "UINT32", "UINT64")),
                            ("others", ("BOOL", "FP64"))):
        models.append(write_model(repository, name,
                                  [(f"x{d}", d) for d in datatypes],
                                  [(f"y{d}", d) for d in datatypes]))
    models.append(write_model(repository, "two", [("a", "FP32"), ("b", "INT64")],
                              [("first", "FP32"), ("second", "INT64"), ("third", "INT64")]))
    return models


NUM_COPIES = 3
RATE_QPS = 75  # half of what the copies can do
NUM_QUERIES = 450


def ask_http(frontend):
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2.5]}]}'
    mine = threading.local()

    def ask():
        if not hasattr(mine, "client"):
            mine.client = transparency.Client(frontend.http)
        return mine.client.post("/v2/models/paced/infer", body, {})[0] == 200

    return ask


def ask_grpc(frontend):
    client = grpc_transparency.Client(frontend.grpc)
    request = messages.ModelInferRequest(model_name="paced")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(transparency.raw("FP32", [1, 2.5]))

    def ask():
        return "model" in grpc_transparency.ask(client, request)

    return ask


def check_death(folder, protocol, make_ask):
    """kill -9 of one of the copies at half load: no client sees it."""
    model = write_model(folder / "repository", "paced", [("x", "FP32")], [("y", "FP32")])
    servers = [model_servers.start_triton(folder / "repository", folder / f"triton{i}.log")
               for i in range(NUM_COPIES)]
    with frontends.ended(*servers):
        for server in servers:
            server.wait_ready()
        with frontends.in_front_of(servers, [model], folder, protocol) as frontend:
            ask = make_ask(frontend)
            # Open loop: what a death holds up does not slow the clients down.
            with concurrent.futures.ThreadPoolExecutor(max_workers=32) as pool:
                started = time.monotonic()
                answers = []
                for number in range(NUM_QUERIES):
                    time.sleep(max(0, started + number / RATE_QPS - time.monotonic()))
                    if number == NUM_QUERIES // 3:
                        servers[0].kill()
                    answers.append(pool.submit(ask))
                failed = [i for i, answer in enumerate(answers) if not answer.result()]
            metrics = urllib.request.urlopen(frontend.metrics_url).read().decode()
    assert not failed, f"{len(failed)} of {NUM_QUERIES} queries failed: {failed}"
    assert 'parm_server_events_total{event="lost"} 1' in metrics, metrics
    print(f"kill -9 over {protocol}: {NUM_QUERIES} of {NUM_QUERIES} queries answered")


def check_transparency(folder):
    models = write_models(folder / "repository")
    with frontends.ended(model_servers.start_triton(
            folder / "repository", folder / "triton.log")) as (triton,):
        triton.wait_ready()
        for protocol, seed in (("http", 1), ("grpc", 5)):
            with frontends.in_front_of([triton], models, folder, protocol) as frontend:
                over_http = transparency.check(triton.http, frontend.http, models, 400, seed)
                over_grpc = grpc_transparency.check(triton.grpc, frontend.grpc, models, 400, seed)
            print(f"Triton over {protocol}: {over_http} of 400 HTTP requests and {over_grpc} of "
                  "400 gRPC requests answered alike, the others refused alike")
            assert over_http > 250 and over_grpc > 250


def main():
    with tempfile.TemporaryDirectory(prefix="parm_triton") as name:
        check_transparency(pathlib.Path(name))
    for protocol, make_ask in (("http", ask_http), ("grpc", ask_grpc)):
        with tempfile.TemporaryDirectory(prefix="parm_triton") as name:
            check_death(pathlib.Path(name), protocol, make_ask)


if __name__ == "__main__":
    frontends.run(main)
