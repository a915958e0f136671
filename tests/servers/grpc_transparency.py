"""transparency.py's property for clients that speak gRPC: proxy(x) == direct(x).

Random requests (seeded) as messages of the protocol, with the stubs of
tritonclient: every datatype, raw and typed in, ids, parameters, chosen outputs,
and requests that are wrong.
"""

import random

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc as stubs

import transparency

FIELDS = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents",
    "UINT32": "uint_contents", "UINT64": "uint64_contents", "INT8": "int_contents",
    "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}
# Whose fault it is, as the HTTP status says it.
CLASSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 4, grpc.StatusCode.NOT_FOUND: 4,
    grpc.StatusCode.UNIMPLEMENTED: 4, grpc.StatusCode.INTERNAL: 5,
    grpc.StatusCode.UNKNOWN: 5, grpc.StatusCode.UNAVAILABLE: 5,
}


class Client:
    def __init__(self, address):
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        self.channel = grpc.insecure_channel(address, options=options)
        self.stub = stubs.GRPCInferenceServiceStub(self.channel)

    def infer(self, request):
        return self.stub.ModelInfer(request, timeout=30)


def make_request(draw, model):
    """A ModelInferRequest, and the names of the outputs, if chosen."""
    request = messages.ModelInferRequest(model_name=model["name"])
    rows, columns = draw.randint(1, 4), draw.randint(1, 6)
    as_raw = draw.random() < 0.5 or any(d not in FIELDS for _, d in model["inputs"])
    if draw.random() < 0.5:
        request.id = draw.choice(model.get("ids", ["1", "a b", "é", "x" * 100]))
    if draw.random() < 0.2:
        request.parameters["note"].string_param = draw.choice(["", "é"])
    for name, datatype in model["inputs"]:
        values = transparency.random_values(draw, datatype, rows * columns)
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[rows, columns])
        if as_raw:
            request.raw_input_contents.append(transparency.raw(datatype, values))
        else:
            if datatype == "BYTES":
                values = [value.encode() for value in values]
            getattr(tensor.contents, FIELDS[datatype]).extend(values)
    chosen = []
    if draw.random() < 0.3:
        names = [name for name, _ in model["outputs"]]
        chosen = draw.sample(names, draw.randint(1, len(names)))
        for name in chosen:
            request.outputs.add(name=name)
    if model.get("spoil", True):
        spoil(draw, request)
    return request, chosen


def spoil(draw, request):
    wrong = draw.random()
    if wrong < 0.03:
        request.inputs[0].name = "nobody's"
    elif wrong < 0.06:
        request.outputs.add(name="nobody's")
    elif wrong < 0.09:
        request.inputs[0].shape[:] = [99, 99]
    elif wrong < 0.12:
        request.model_name = "nobody's"
    elif wrong < 0.15 and request.raw_input_contents:
        request.raw_input_contents[0] += b"more"


def typed_values(tensor):
    values = list(getattr(tensor.contents, FIELDS[tensor.datatype]))
    return [value.decode() for value in values] if tensor.datatype == "BYTES" else values


def understand(reply):
    outputs = []
    for index, tensor in enumerate(reply.outputs):
        if reply.raw_output_contents:
            values = transparency.unpack(tensor.datatype, reply.raw_output_contents[index])
        else:
            values = typed_values(tensor)
        if tensor.datatype.startswith("FP"):
            values = np.array(values, transparency.NUMPY[tensor.datatype]).tolist()
        outputs.append((tensor.name, tensor.datatype, tuple(tensor.shape), values))
    return {"outputs": outputs, "id": reply.id, "model": reply.model_name,
            "version": reply.model_version}


def ask(client, request):
    try:
        return understand(client.infer(request))
    except grpc.RpcError as error:
        return {"error class": CLASSES[error.code()]}


def check(direct, proxy, models, count, seed):
    """Sends `count` requests to both; returns how many were answered."""
    print(f"gRPC clients: seed {seed}", flush=True)
    draw = random.Random(seed)
    clients = Client(direct), Client(proxy)
    answered = 0
    for number in range(count):
        model = draw.choice(models)
        request, chosen = make_request(draw, model)
        want, got = (ask(client, request) for client in clients)
        if model.get("makes_up") and "outputs" in got and "outputs" in want:
            # An id where none was given, a version that its metadata does not name.
            want["version"] = got["version"]
            want["id"] = want["id"] if request.id else got["id"]
        if chosen and "outputs" in got and "outputs" in want:
            # The frontend answers in the order that was asked for.
            assert [output[0] for output in got["outputs"]] == chosen
            by_name = {output[0]: output for output in want["outputs"]}
            want["outputs"] = [by_name[name] for name in chosen]
        if want == {"error class": 5}:
            want = {"error class": 4}  # As transparency.check says of Triton.
        assert want == got, f"request {number}\n{request}\n{want}\n{got}"
        answered += "model" in want
    for client in clients:
        client.channel.close()
    return answered
