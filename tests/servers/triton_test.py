"""parm-frontend before a real Triton: transparent, and deaf to a death."""

import pathlib
import tempfile
import threading
import time
import urllib.request

import frontends
import model_servers
import transparency

MODEL = '''
import json

import triton_python_backend_utils as pb


class TritonPythonModel:
    """Every output is the input of the same number, or of the last one."""

    def initialize(self, args):
        self.outputs = [o["name"] for o in json.loads(args["model_config"])["output"]]
        self.inputs = [i["name"] for i in json.loads(args["model_config"])["input"]]

    def execute(self, requests):
        replies = []
        for request in requests:
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


def configuration(servers, models, redundancy=""):
    return ("workers:\n" + "".join(f'  - {{endpoint: "{server.http}"}}\n' for server in servers)
            + "models:\n" + "".join(
                f'  - {{name: "{model["name"]}", deadline: 20s, batching: {{max_batch_size: 8,'
                f" timeout: 0ms}}{redundancy}}}\n" for model in models))


def check_death(folder, models):
    """kill -9 of one of two servers under load: no client sees it."""
    servers = [model_servers.start_triton(folder / "repository", folder / f"triton{i}.log")
               for i in range(2)]
    frontend = None
    try:
        for server in servers:
            server.wait_ready()
        frontend = frontends.Frontend(configuration(servers, models), folder).wait_ready()
        body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2.5]}]}'
        answers = []

        def ask():
            client = transparency.Client(frontend.http)
            for _ in range(150):
                answers.append(client.post("/v2/models/echo_FP32/infer", body, {})[0])

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(answers) < 100 and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        servers[0].kill()
        for thread in threads:
            thread.join()
        assert answers == [200] * 450, answers
        metrics = urllib.request.urlopen(frontend.metrics_url).read().decode()
        assert 'parm_server_events_total{event="lost"} 1' in metrics, metrics
    finally:
        for server in [frontend, *servers]:
            if server is not None:
                server.stop()


def main():
    with tempfile.TemporaryDirectory(prefix="parm_triton") as name:
        folder = pathlib.Path(name)
        models = write_models(folder / "repository")
        triton = model_servers.start_triton(folder / "repository", folder / "triton.log")
        frontend = None
        try:
            triton.wait_ready()
            frontend = frontends.Frontend(configuration([triton], models), folder).wait_ready()
            answered = transparency.check(triton.http, frontend.http, models, 400, seed=1)
            print(f"{answered} of 400 requests answered alike, the others refused alike")
            assert answered > 250
        finally:
            for server in (frontend, triton):
                if server is not None:
                    server.stop()
        check_death(folder, models)


if __name__ == "__main__":
    frontends.run(main)
