"""The property that makes the frontend a drop-in: proxy(x) == direct(x).

Random requests (seeded) go to a server directly and through the frontend, as
raw HTTP: every datatype, JSON and binary in and out, gzip and deflate, ids,
chosen outputs, and requests that are wrong. Replies must hold the same values,
names, order, shapes, id and versions; errors must be of the same class.
"""

import gzip
import http.client
import json
import random
import urllib.parse
import zlib

import numpy as np

NUMPY = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}
JSON_CANNOT = ("FP16",)


class Client:
    """One connection that is kept alive."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlparse(url).netloc, timeout=30)

    def post(self, path, body, headers):
        self.connection.request("POST", path, body, headers)
        reply = self.connection.getresponse()
        return reply.status, reply.headers, reply.read()


def random_values(draw, datatype, count):
    if datatype == "BYTES":
        return ["".join(draw.choice("abcé\"\\ ") for _ in range(draw.randrange(6)))
                for _ in range(count)]
    if datatype == "BOOL":
        return [draw.random() < 0.5 for _ in range(count)]
    if datatype.startswith("FP"):
        return [float(NUMPY[datatype](draw.uniform(-1000, 1000))) for _ in range(count)]
    limits = np.iinfo(NUMPY[datatype])
    return [draw.choice([limits.min, limits.max, draw.randint(limits.min, limits.max)])
            for _ in range(count)]


def raw(datatype, values):
    if datatype == "BYTES":
        parts = [value.encode() for value in values]
        return b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    return np.array(values, NUMPY[datatype]).tobytes()


def unpack(datatype, data):
    if datatype != "BYTES":
        return np.frombuffer(data, NUMPY[datatype]).tolist()
    values = []
    while data:
        size = int.from_bytes(data[:4], "little")
        values.append(data[4:4 + size].decode())
        data = data[4 + size:]
    return values


def nested(values, shape):
    """As clients write rows: lists in lists."""
    if len(shape) <= 1:
        return values
    step = len(values) // shape[0]
    return [nested(values[i * step:(i + 1) * step], shape[1:]) for i in range(shape[0])]


def flat(data):
    return [leaf for item in data for leaf in flat(item)] if isinstance(data, list) else [data]


def make_request(draw, model):
    """Returns path, body, headers, and the names of the outputs, if chosen.

    model: {name, inputs, outputs, ...}.
    """
    # Drawn whether used or not, so that one state gives one request in any form.
    as_binary, as_nested, answer_binary = (draw.random() < 0.5 for _ in range(3))
    rows = draw.randint(1, 4)
    columns = draw.randint(1, 6)
    document = {"inputs": []}
    tail = b""
    binary_in = as_binary and model.get("binary", True)
    if draw.random() < 0.5:
        document["id"] = draw.choice(["1", "a b", "é", "x" * 100])
    for name, datatype in model["inputs"]:
        shape = [rows, columns]
        values = random_values(draw, datatype, rows * columns)
        tensor = {"name": name, "datatype": datatype, "shape": shape}
        if binary_in or datatype in JSON_CANNOT:
            data = raw(datatype, values)
            tensor["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            tensor["data"] = nested(values, shape) if as_nested else values
        document["inputs"].append(tensor)
    no_json = any(datatype in JSON_CANNOT for _, datatype in model["outputs"])
    binary_out = (answer_binary and model.get("binary", True)) or no_json
    if draw.random() < 0.3:
        names = [name for name, _ in model["outputs"]]
        chosen = draw.sample(names, draw.randint(1, len(names)))
        document["outputs"] = [{"name": name, "parameters": {"binary_data": binary_out}}
                               for name in chosen]
    elif binary_out:
        document["parameters"] = {"binary_data_output": True}
    if model.get("spoil", True):
        spoil(draw, document)
    head = json.dumps(document).encode()
    headers = {}
    with_length = draw.random() < 0.2 and model.get("binary", True)
    if tail or with_length:
        headers["Inference-Header-Content-Length"] = str(len(head))
        headers["Content-Type"] = "application/octet-stream"
    else:
        headers["Content-Type"] = "application/json"
    body = head + tail
    coding = draw.random()
    if model.get("compress", True) and coding < 0.3:
        headers["Content-Encoding"] = "gzip" if coding < 0.15 else "deflate"
        body = gzip.compress(body) if coding < 0.15 else zlib.compress(body)
    chosen = [output["name"] for output in document.get("outputs", [])]
    return f"/v2/models/{urllib.parse.quote(model['name'])}/infer", body, headers, chosen


def spoil(draw, document):
    """Makes some requests wrong, in ways that every server refuses."""
    wrong = draw.random()
    if wrong < 0.03:
        document["inputs"][0]["name"] = "nobody's"
    elif wrong < 0.06:
        document["outputs"] = [{"name": "nobody's"}]
    elif wrong < 0.09:
        document["inputs"][0]["shape"] = [99, 99]
    elif wrong < 0.12:
        document["inputs"].append(dict(document["inputs"][0], name="one too many"))
    elif wrong < 0.15:
        del document["inputs"]


def understand(model, status, headers, body):
    """What a client sees, however it was written."""
    if status != 200:
        # Any 4xx is the client's fault; servers disagree on the number.
        assert "error" in json.loads(body), body
        return {"error class": status // 100}
    length = headers.get("Inference-Header-Content-Length")
    head = json.loads(body[:int(length)] if length else body)
    tail = body[int(length):] if length else b""
    outputs = []
    for output in head["outputs"]:
        binary = (output.get("parameters") or {}).get("binary_data_size")
        if binary is None:
            values = flat(output["data"])
            if output["datatype"].startswith("FP"):
                values = np.array(values, NUMPY[output["datatype"]]).tolist()
        else:
            values = unpack(output["datatype"], tail[:binary])
            tail = tail[binary:]
        if output["datatype"] == "FP64":
            # Triton's parser of decimal numbers is off by one in the last place.
            values = [float(f"{value:.14g}") for value in values]
        outputs.append((output["name"], output["datatype"], tuple(output["shape"]),
                        binary is not None, values))
    assert not tail, "bytes behind the tensors"
    return {"outputs": outputs, "id": head.get("id") or None, "model": head["model_name"],
            "version": head.get("model_version") or None}


def check(direct, proxy, models, count, seed):
    """Sends `count` requests to both; returns how many were answered with 200."""
    print(f"seed {seed}", flush=True)
    draw = random.Random(seed)
    clients = Client(direct), Client(proxy)
    answered = 0
    for number in range(count):
        model = draw.choice(models)
        state = draw.getstate()
        path, body, headers, chosen = make_request(draw, model)
        want = understand(model, *clients[0].post(path, body, headers))
        if not model.get("binary", True):
            # What the server cannot take: the same request, binary or not.
            draw.setstate(state)
            path, body, headers, chosen = make_request(draw, dict(model, binary=True, compress=True))
        got = understand(model, *clients[1].post(path, body, headers))
        if not model.get("binary", True):
            assert "error class" not in want, want
            for reply in (want, got):
                reply["outputs"] = [output[:3] + output[4:] for output in reply["outputs"]]
            # MLServer makes ids up, and its metadata names no version.
            if got["id"] is None:
                want["id"] = None
            want["version"] = got["version"]
        if chosen and "outputs" in got and "outputs" in want:
            # The frontend answers what was asked for, in that order; servers leave
            # the order to the model, and MLServer answers the others too.
            assert [output[0] for output in got["outputs"]] == chosen
            by_name = {output[0]: output for output in want["outputs"]}
            want["outputs"] = [by_name[name] for name in chosen]
        if want == {"error class": 5}:
            # Triton answers 500 to some of the requests that spoil() makes.
            want = {"error class": 4}
        assert want == got, f"request {number} {path} {headers}\n{body!r}\n{want}\n{got}"
        answered += "model" in want
    return answered
