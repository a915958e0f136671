"""Drives a server with an unmodified tritonclient, http and http.aio.

Against a server that runs:
  tritonclient_test.py --url 127.0.0.1:8000 --model fashion \
      --input input:FP32:1,28,28 --output logits:FP32:10
or against one that it starts, and ends, itself (the program prints a line
"... ready http=HOST:PORT ..." and runs until its standard input ends):
  tritonclient_test.py --start build/dev/tests/parm-echo-server ...

Shapes are those of one sample, without the batch dimension.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import unittest

import numpy as np
import tritonclient.http as sync_http
import tritonclient.http.aio as aio_http
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

OPTIONS = argparse.Namespace()
BATCH = 1
# Answers are compared with one another, so none may be approximate.
EXACT = {"parm_mode": "exact"}


class Tensor:
    """NAME:DATATYPE:DIM,DIM,..."""

    def __init__(self, text):
        self.name, self.datatype, dims = text.split(":")
        self.shape = [int(dim) for dim in dims.split(",") if dim]


def make_values(seed=1):
    shape = [BATCH] + OPTIONS.input.shape
    values = np.random.default_rng(seed).random(shape) * 200
    return values.astype(triton_to_np_dtype(OPTIONS.input.datatype))


def make_input(module, values, binary, name=None):
    tensor = module.InferInput(
        name or OPTIONS.input.name, list(values.shape), OPTIONS.input.datatype
    )
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


def make_outputs(module, names, binary):
    return [module.InferRequestedOutput(name, binary_data=binary) for name in names]


class Checks(unittest.TestCase):
    def check_result(self, result, names=None):
        got = [output["name"] for output in result.get_response()["outputs"]]
        want = names or [output.name for output in OPTIONS.output]
        self.assertEqual(got, want)
        for output in OPTIONS.output:
            if output.name not in want:
                self.assertIsNone(result.as_numpy(output.name))
                continue
            values = result.as_numpy(output.name)
            self.assertEqual(list(values.shape), [BATCH] + output.shape)
            self.assertEqual(values.dtype, triton_to_np_dtype(output.datatype))
            self.assertTrue(np.isfinite(values).all())
        self.assertEqual(result.get_response()["model_name"], OPTIONS.model)
        # Every answer says how it was made.
        self.assertIn("parm_source", result.get_response()["parameters"])

    def check_same(self, results):
        for output in OPTIONS.output:
            first = results[0].as_numpy(output.name)
            for result in results[1:]:
                np.testing.assert_allclose(
                    result.as_numpy(output.name), first, rtol=1e-5, atol=1e-6
                )

    def check_metadata(self, metadata, config):
        self.assertEqual(metadata["name"], OPTIONS.model)
        want = [OPTIONS.input], OPTIONS.output
        for specs, tensors in zip((metadata["inputs"], metadata["outputs"]), want):
            self.assertEqual(
                [(spec["name"], spec["datatype"]) for spec in specs],
                [(tensor.name, tensor.datatype) for tensor in tensors],
            )
        self.assertEqual(config["name"], OPTIONS.model)
        self.assertEqual(
            [entry["name"] for entry in config["input"]], [OPTIONS.input.name]
        )
        self.assertEqual(
            [entry["name"] for entry in config["output"]],
            [output.name for output in OPTIONS.output],
        )

    def check_error(self, error, status):
        self.assertEqual(error.status(), status)
        self.assertGreater(len(error.message()), 10)


class HttpTest(Checks):
    def setUp(self):
        self.client = sync_http.InferenceServerClient(OPTIONS.url)

    def tearDown(self):
        self.client.close()

    def infer(self, binary, values=None, parameters=EXACT, **more):
        values = make_values() if values is None else values
        return self.client.infer(
            OPTIONS.model,
            [make_input(sync_http, values, binary)],
            parameters=parameters,
            **more,
        )

    def test_server_and_model_say_that_they_are_ready(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready(OPTIONS.model))
        self.assertFalse(self.client.is_model_ready("no such model"))

    def test_metadata_and_config_agree(self):
        server = self.client.get_server_metadata()
        self.assertIn("binary_tensor_data", server["extensions"])
        self.check_metadata(
            self.client.get_model_metadata(OPTIONS.model),
            self.client.get_model_config(OPTIONS.model),
        )

    def test_repository_index_lists_the_model(self):
        index = self.client.get_model_repository_index()
        states = {entry["name"]: entry["state"] for entry in index}
        self.assertEqual(states[OPTIONS.model], "READY")

    def test_statistics_tell_of_one_model_or_all(self):
        self.check_result(self.infer(True))
        for stats in (
            self.client.get_inference_statistics(OPTIONS.model),
            self.client.get_inference_statistics(),
        ):
            model = {entry["name"]: entry for entry in stats["model_stats"]}[
                OPTIONS.model
            ]
            self.assertGreater(model["inference_count"], 0)
            self.assertGreater(model["inference_stats"]["success"]["ns"], 0)
            self.assertEqual(model["inference_stats"]["cache_hit"]["count"], 0)
        with self.assertRaises(InferenceServerException) as caught:
            self.client.get_inference_statistics("no such model")
        self.check_error(caught.exception, "404")

    def test_json_and_binary_answers_agree(self):
        names = [output.name for output in OPTIONS.output]
        results = []
        for binary in (False, True):
            for binary_outputs in (False, True):
                results.append(
                    self.infer(
                        binary,
                        outputs=make_outputs(sync_http, names, binary_outputs),
                    )
                )
            results.append(self.infer(binary))
        for result in results:
            self.check_result(result)
        self.check_same(results)

    def test_compression_changes_no_answer(self):
        results = [self.infer(True)]
        for request in (None, "gzip", "deflate"):
            for response in (None, "gzip", "deflate"):
                for binary in (False, True):
                    results.append(
                        self.infer(
                            binary,
                            request_compression_algorithm=request,
                            response_compression_algorithm=response,
                        )
                    )
        for result in results:
            self.check_result(result)
        self.check_same(results)

    def test_id_is_echoed_iff_given(self):
        result = self.infer(True, request_id="my id")
        self.assertEqual(result.get_response()["id"], "my id")
        self.assertNotIn("id", self.infer(True).get_response())

    def test_outputs_come_as_requested(self):
        names = [output.name for output in OPTIONS.output]
        for wanted in ([names[0]], names[::-1]):
            result = self.infer(True, outputs=make_outputs(sync_http, wanted, True))
            self.check_result(result, wanted)

    def test_many_requests_use_one_connection(self):
        for seed in range(50):
            self.check_result(self.infer(True, values=make_values(seed)))

    def test_asynchronous_requests_all_return(self):
        client = sync_http.InferenceServerClient(OPTIONS.url, concurrency=4)
        requests = [
            client.async_infer(
                OPTIONS.model, [make_input(sync_http, make_values(seed), True)]
            )
            for seed in range(16)
        ]
        for request in requests:
            self.check_result(request.get_result())
        client.close()

    def test_parameters_of_the_server_are_taken(self):
        for mode in ("exact", "balanced", "fast"):
            self.check_result(self.infer(True, parameters={"parm_mode": mode}))

    def test_wrong_requests_get_a_sentence(self):
        def expect(status, call):
            with self.assertRaises(InferenceServerException) as caught:
                call()
            self.check_error(caught.exception, status)

        wrong_shape = np.zeros([BATCH, 3, 5, 7], make_values().dtype)
        expect("400", lambda: self.infer(True, values=wrong_shape))
        expect("400", lambda: self.infer(False, values=wrong_shape))
        wrong_name = make_input(sync_http, make_values(), True, "no such input")
        expect("400", lambda: self.client.infer(OPTIONS.model, [wrong_name]))
        wrong_output = make_outputs(sync_http, ["no such output"], True)
        expect("400", lambda: self.infer(True, outputs=wrong_output))
        good = [make_input(sync_http, make_values(), True)]
        expect("404", lambda: self.client.infer("no such model", good))
        expect("404", lambda: self.client.get_model_metadata("no such%model"))
        self.check_result(self.infer(True))


class AioTest(Checks):
    def run_with_client(self, body):
        async def run():
            async with aio_http.InferenceServerClient(OPTIONS.url) as client:
                await body(client)

        asyncio.run(run())

    def test_server_and_model_say_that_they_are_ready(self):
        async def body(client):
            self.assertTrue(await client.is_server_live())
            self.assertTrue(await client.is_server_ready())
            self.assertTrue(await client.is_model_ready(OPTIONS.model))
            self.assertFalse(await client.is_model_ready("no such model"))

        self.run_with_client(body)

    def test_metadata_and_config_agree(self):
        async def body(client):
            server = await client.get_server_metadata()
            self.assertIn("binary_tensor_data", server["extensions"])
            self.check_metadata(
                await client.get_model_metadata(OPTIONS.model),
                await client.get_model_config(OPTIONS.model),
            )

        self.run_with_client(body)

    def test_json_binary_and_compressed_answers_agree(self):
        async def body(client):
            results = []
            for binary in (False, True):
                for coding in (None, "gzip", "deflate"):
                    result = await client.infer(
                        OPTIONS.model,
                        [make_input(aio_http, make_values(), binary)],
                        request_id="aio",
                        parameters=EXACT,
                        request_compression_algorithm=coding,
                        response_compression_algorithm=coding,
                    )
                    self.check_result(result)
                    self.assertEqual(result.get_response()["id"], "aio")
                    results.append(result)
            self.check_same(results)

        self.run_with_client(body)

    def test_concurrent_requests_all_return(self):
        async def body(client):
            requests = [
                client.infer(
                    OPTIONS.model, [make_input(aio_http, make_values(seed), True)]
                )
                for seed in range(16)
            ]
            for result in await asyncio.gather(*requests):
                self.check_result(result)

        self.run_with_client(body)

    def test_wrong_requests_get_a_sentence(self):
        async def body(client):
            wrong_shape = np.zeros([BATCH, 3, 5, 7], make_values().dtype)
            cases = [
                ("400", OPTIONS.model, make_input(aio_http, wrong_shape, True)),
                ("400", OPTIONS.model, make_input(aio_http, make_values(), True, "no")),
                ("404", "no such model", make_input(aio_http, make_values(), True)),
            ]
            for status, model, tensor in cases:
                with self.assertRaises(InferenceServerException) as caught:
                    await client.infer(model, [tensor])
                self.check_error(caught.exception, status)

        self.run_with_client(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="HOST:PORT of a server that runs")
    where.add_argument("--start", nargs="+", metavar="PROGRAM")
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", type=Tensor, required=True)
    parser.add_argument("--output", type=Tensor, required=True, action="append")
    parser.parse_args(namespace=OPTIONS)
    server = None
    if OPTIONS.start:
        server = subprocess.Popen(
            OPTIONS.start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        OPTIONS.url = re.search(r"http=(\S+)", server.stdout.readline()).group(1)
    try:
        program = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    finally:
        if server:
            server.stdin.close()
            server.wait(timeout=30)
    sys.exit(not program.result.wasSuccessful())


if __name__ == "__main__":
    main()
