"""Sequences of a real Triton's stateful model through parm-frontend: every step
reaches the server that has the state, over both protocols and on streams; a
server that dies fails its sequences in so many words. And what a decoupled
model, which needs more than one reply, is told.
"""

import contextlib
import pathlib
import queue
import random
import tempfile
import time
import urllib.request

import frontends
import model_servers
import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

COUNTER = '''
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    """y is the sum of all x of its sequence so far."""

    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        replies = []
        for request in requests:
            x, start, sequence = (
                pb.get_input_tensor_by_name(request, name).as_numpy()
                for name in ("x", "START", "CORRID"))
            key = int(sequence.ravel()[0])
            if start.ravel()[0]:
                self.sums[key] = 0
            self.sums[key] += int(x.ravel()[0])
            replies.append(pb.InferenceResponse(
                [pb.Tensor("y", np.array([[self.sums[key]]], np.int64))]))
        return replies
'''
COUNTER_CONFIG = """
name: "counter"
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_INT64 dims: [1] }]
output [{ name: "y" data_type: TYPE_INT64 dims: [1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
sequence_batching {
  max_sequence_idle_microseconds: 600000000
  oldest { max_candidate_sequences: 64 }
  control_input [
    { name: "START" control [{ kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] }] },
    { name: "CORRID" control [{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }] }
  ]
}
"""
DECOUPLED = '''
import triton_python_backend_utils as pb


class TritonPythonModel:
    """Answers x twice."""

    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            x = pb.get_input_tensor_by_name(request, "x").as_numpy()
            for _ in range(2):
                sender.send(pb.InferenceResponse([pb.Tensor("y", x)]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
'''
DECOUPLED_CONFIG = """
name: "twice"
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_INT64 dims: [1] }]
output [{ name: "y" data_type: TYPE_INT64 dims: [1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
model_transaction_policy { decoupled: True }
"""
MODELS = [{"name": "counter"}, {"name": "twice"}]
NUM_STEPS = 6


def write_models(repository):
    for name, code, config in (("counter", COUNTER, COUNTER_CONFIG),
                               ("twice", DECOUPLED, DECOUPLED_CONFIG)):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.py").write_text(code)
        (repository / name / "config.pbtxt").write_text(config)


def inputs(library, value):
    tensor = library.InferInput("x", [1, 1], "INT64")
    tensor.set_data_from_numpy(np.array([[value]], np.int64))
    return [tensor]


def step(library, client, sequence, value, start=False, end=False):
    """The sum so far, as the model has it."""
    result = client.infer("counter", inputs(library, value), sequence_id=sequence,
                          sequence_start=start, sequence_end=end)
    return int(result.as_numpy("y")[0, 0])


def check_interleaved(library, client, first, draw):
    """Ten sequences, a step of each at a time."""
    sums = dict.fromkeys(range(first, first + 10), 0)
    for number in range(NUM_STEPS):
        for sequence in draw.sample(sorted(sums), len(sums)):
            value = draw.randrange(1000)
            sums[sequence] += value
            got = step(library, client, sequence, value, number == 0, number == NUM_STEPS - 1)
            assert got == sums[sequence], f"sequence {sequence}, step {number}: {got}"


def check_stream(client, first, draw):
    """All steps of ten sequences sent before any reply is read."""
    replies = queue.Queue()
    client.start_stream(lambda result, error: replies.put((result, error)))
    want = []
    sums = dict.fromkeys(range(first, first + 10), 0)
    for number in range(NUM_STEPS):
        for sequence in sums:
            value = draw.randrange(1000)
            sums[sequence] += value
            want.append(sums[sequence])
            client.async_stream_infer(
                "counter", inputs(grpc_client, value), sequence_id=sequence,
                sequence_start=number == 0, sequence_end=number == NUM_STEPS - 1)
    for value in want:
        result, error = replies.get(timeout=60)
        assert error is None, error
        assert int(result.as_numpy("y")[0, 0]) == value
    client.stop_stream()


def error_of(call):
    try:
        call()
    except InferenceServerException as error:
        return error
    raise AssertionError("no error")


def check_refusals(http, grpc, direct):
    """What was never started, as Triton itself says."""
    for library, client, want in ((http_client, http, "400"),
                                  (grpc_client, grpc, "StatusCode.INVALID_ARGUMENT"),
                                  (grpc_client, direct, "StatusCode.INVALID_ARGUMENT")):
        error = error_of(lambda: step(library, client, 999_999, 1))
        assert error.status() == want, error
        assert "start" in error.message().lower(), error


def check_decoupled(http, grpc):
    for library, client in ((http_client, http), (grpc_client, grpc)):
        error = error_of(lambda: client.infer("twice", inputs(library, 1)))
        assert error.status() in ("501", "StatusCode.UNIMPLEMENTED"), error
        assert "decoupled" in error.message(), error
    replies = queue.Queue()
    grpc.start_stream(lambda result, error: replies.put((result, error)))
    grpc.async_stream_infer("twice", inputs(grpc_client, 1))
    result, error = replies.get(timeout=60)
    assert result is None and "decoupled" in error.message(), (result, error)
    grpc.stop_stream()


def wait_until_lost(frontend):
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        metrics = urllib.request.urlopen(frontend.metrics_url).read().decode()
        if 'parm_server_events_total{event="lost"} 1' in metrics:
            return
        time.sleep(0.02)
    raise AssertionError(metrics)


def check_death(servers, frontend, client):
    """The sequences of a server that dies fail, the others go on."""
    sequences = range(5000, 5010)
    for sequence in sequences:
        assert step(grpc_client, client, sequence, sequence, start=True) == sequence
    servers[0].kill()
    wait_until_lost(frontend)
    failed = 0
    for sequence in sequences:
        try:
            assert step(grpc_client, client, sequence, 1) == sequence + 1
        except InferenceServerException:
            # Until it is started anew, however often it is tried.
            error = error_of(lambda: step(grpc_client, client, sequence, 1))
            assert error.status() == "StatusCode.UNAVAILABLE", error
            assert "is gone" in error.message(), error
            assert step(grpc_client, client, sequence, 7, start=True) == 7
            failed += 1
    assert failed > 0, "no sequence was at the server that died"


def check(servers, folder, protocol, seed):
    draw = random.Random(seed)
    with contextlib.ExitStack() as stack:
        frontend = stack.enter_context(frontends.in_front_of(servers, MODELS, folder, protocol))
        http = stack.enter_context(http_client.InferenceServerClient(
            frontend.http.removeprefix("http://")))
        grpc, direct = (stack.enter_context(grpc_client.InferenceServerClient(address))
                        for address in (frontend.grpc, servers[1].grpc))
        check_interleaved(http_client, http, 100 * seed, draw)
        check_interleaved(grpc_client, grpc, 100 * seed + 20, draw)
        check_stream(grpc, 100 * seed + 40, draw)
        check_refusals(http, grpc, direct)
        check_decoupled(http, grpc)
        if protocol == "grpc":
            check_death(servers, frontend, grpc)
    print(f"sequences over {protocol}: seed {seed}, every sum is right")


def main():
    with tempfile.TemporaryDirectory(prefix="parm_sequences") as name:
        folder = pathlib.Path(name)
        write_models(folder / "repository")
        servers = [model_servers.start_triton(folder / "repository", folder / f"triton{i}.log")
                   for i in range(2)]
        with frontends.ended(*servers):
            for server in servers:
                server.wait_ready()
            for protocol, seed in (("http", 1), ("grpc", 2)):
                check(servers, folder, protocol, seed)


if __name__ == "__main__":
    frontends.run(main)
