"""KServe's InferenceRESTClient and InferenceGRPCClient as they are published:
through the frontend they get what they get from the server itself.

Run by kserve_test.py with the Python of KServe's environment. PARM_ADDRESSES, a
JSON document, says where: the SDK takes the command line for its own.
"""

import json
import os
import random
import types
import unittest

import grpc
import httpx
import kserve
import numpy as np
from kserve.inference_client import RESTConfig

ADDRESSES = types.SimpleNamespace(**json.loads(os.environ["PARM_ADDRESSES"]))
COUNT = 100
SEED = 7
# Models of kserve_test.py, and the values that are asked of each.
DTYPES = {"echo": np.float32, "flag": np.bool_}


def make_request(draw):
    model = draw.choice(list(DTYPES))
    rows, columns = draw.randint(1, 4), draw.randint(1, 6)
    values = np.array([draw.choice([0, 1, 2.5, -1000]) for _ in range(rows * columns)])
    values = values.astype(DTYPES[model]).reshape(rows, columns)
    datatype = "BOOL" if model == "flag" else "FP32"
    tensor = kserve.InferInput("x" + datatype, [rows, columns], datatype)
    tensor.set_data_from_numpy(values, binary_data=draw.random() < 0.5)
    request = kserve.InferRequest(
        model, [tensor], request_id=draw.choice(["1", "a b", "x" * 100]))
    return request, values


def understand(response):
    return {"id": response.id, "model": response.model_name,
            "outputs": [(output.name, output.datatype, list(output.shape),
                         output.as_numpy().tolist()) for output in response.outputs]}


class GrpcClientTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.direct = kserve.InferenceGRPCClient(ADDRESSES.direct_grpc)
        self.client = kserve.InferenceGRPCClient(ADDRESSES.grpc)
        self.addAsyncCleanup(self.direct.close)
        self.addAsyncCleanup(self.client.close)

    async def test_answers_are_the_servers_own(self):
        draw = random.Random(SEED)
        for _ in range(COUNT):
            request, values = make_request(draw)
            answer = understand(await self.client.infer(request))
            self.assertEqual(answer, understand(await self.direct.infer(request)))
            self.assertEqual(answer["outputs"][0][3], values.tolist())

    async def test_server_and_models_are_ready(self):
        self.assertIs(await self.client.is_server_live(), True)
        self.assertIs(await self.client.is_server_ready(), True)
        self.assertIs(await self.client.is_model_ready("echo"), True)

    async def test_unknown_model_is_not_found(self):
        request, _ = make_request(random.Random(SEED))
        request.model_name = "nobody's"
        for client in (self.direct, self.client):
            with self.assertRaises(grpc.RpcError) as caught:
                await client.infer(request)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)


class RestClientTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.client = kserve.InferenceRESTClient(RESTConfig(protocol="v2"))
        self.addAsyncCleanup(self.client.close)

    async def test_answers_are_the_servers_own(self):
        draw = random.Random(SEED)
        for _ in range(COUNT):
            request, values = make_request(draw)
            answer, direct = [
                understand(await self.client.infer(url, request, model_name=request.model_name))
                for url in (ADDRESSES.http, ADDRESSES.direct_http)]
            self.assertEqual(answer, direct)
            self.assertEqual(answer["outputs"][0][3], values.tolist())

    async def test_server_and_models_are_ready(self):
        for url in (ADDRESSES.http, ADDRESSES.direct_http):
            self.assertIs(await self.client.is_server_live(url), True)
            self.assertIs(await self.client.is_server_ready(url), True)
            self.assertIs(await self.client.is_model_ready(url, "echo"), True)

    async def test_unknown_model_is_not_found(self):
        request, _ = make_request(random.Random(SEED))
        for url in (ADDRESSES.http, ADDRESSES.direct_http):
            with self.assertRaises(httpx.HTTPStatusError) as caught:
                await self.client.infer(url, request, model_name="nobody's")
            self.assertEqual(caught.exception.response.status_code, 404)


if __name__ == "__main__":
    unittest.main()
