"""Drives a server with an unmodified tritonclient, grpc and grpc.aio.

  tritonclient_grpc_test.py --url 127.0.0.1:8001 --model fashion \
      --input input:FP32:1,28,28 --output logits:FP32:10
With --slow, the server has that model behind workers that take seconds, and
only what needs them is asked; --metrics says where its counters are.
With --start, as tritonclient_test.py.

Shapes are those of one sample, without the batch dimension.
"""

import argparse
import asyncio
import queue
import re
import subprocess
import sys
import time
import unittest
import urllib.request

import grpc
import numpy as np
import tritonclient.grpc as sync_grpc
import tritonclient.grpc.aio as aio_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from google.protobuf.descriptor_pool import DescriptorPool
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from tritonclient_test import BATCH, EXACT, OPTIONS, Tensor, make_values

PATIENCE_S = 120
SERVICE = "inference.GRPCInferenceService"


def make_input(values, name=None):
    tensor = sync_grpc.InferInput(
        name or OPTIONS.input.name, list(values.shape), OPTIONS.input.datatype
    )
    tensor.set_data_from_numpy(values)
    return tensor


def make_outputs(names):
    return [sync_grpc.InferRequestedOutput(name) for name in names]


def make_request(values, typed=False, raw=True):
    """A ModelInferRequest, with FP32 values in either form, or both."""
    request = service_pb2.ModelInferRequest(model_name=OPTIONS.model, id="mine")
    request.parameters["parm_mode"].string_param = "exact"
    tensor = request.inputs.add(
        name=OPTIONS.input.name, datatype="FP32", shape=values.shape
    )
    if typed:
        tensor.contents.fp32_contents.extend(values.ravel().tolist())
    if raw:
        request.raw_input_contents.append(values.tobytes())
    return request


class Checks(unittest.TestCase):
    def check_response(self, response, names=None):
        want = names or [output.name for output in OPTIONS.output]
        self.assertEqual([output.name for output in response.outputs], want)
        self.assertEqual(response.model_name, OPTIONS.model)
        # Every answer says how it was made.
        self.assertIn("parm_source", response.parameters)

    def check_result(self, result, names=None):
        self.check_response(result.get_response(), names)
        for output in OPTIONS.output:
            values = result.as_numpy(output.name)
            if names is not None and output.name not in names:
                self.assertIsNone(values)
                continue
            self.assertEqual(list(values.shape), [BATCH] + output.shape)
            self.assertEqual(values.dtype, triton_to_np_dtype(output.datatype))
            self.assertTrue(np.isfinite(values).all())

    def check_error(self, code, call):
        with self.assertRaises(InferenceServerException) as caught:
            call()
        self.assertEqual(caught.exception.status(), f"StatusCode.{code}")
        self.assertGreater(len(caught.exception.message()), 10)


class SyncTest(Checks):
    def setUp(self):
        self.client = sync_grpc.InferenceServerClient(OPTIONS.url)
        self.addCleanup(self.client.close)

    def infer(self, values=None, parameters=EXACT, **more):
        values = make_values() if values is None else values
        return self.client.infer(
            OPTIONS.model, [make_input(values)], parameters=parameters, **more
        )

    def test_server_and_model_say_that_they_are_ready(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready(OPTIONS.model))
        self.check_error(
            "NOT_FOUND", lambda: self.client.is_model_ready("no such model")
        )

    def test_metadata_and_config_agree(self):
        self.assertEqual(self.client.get_server_metadata().name, "parm")
        metadata = self.client.get_model_metadata(OPTIONS.model)
        config = self.client.get_model_config(OPTIONS.model).config
        self.assertEqual(metadata.name, OPTIONS.model)
        self.assertEqual(config.name, OPTIONS.model)
        for specs, entries, tensors in (
            (metadata.inputs, config.input, [OPTIONS.input]),
            (metadata.outputs, config.output, OPTIONS.output),
        ):
            want = [(tensor.name, tensor.datatype) for tensor in tensors]
            self.assertEqual([(spec.name, spec.datatype) for spec in specs], want)
            names = model_config_pb2.DataType
            self.assertEqual(
                [
                    (entry.name, names.Name(entry.data_type).removeprefix("TYPE_"))
                    for entry in entries
                ],
                want,
            )
            self.assertEqual(list(specs[0].shape), [-1] + tensors[0].shape)
            self.assertEqual(list(entries[0].dims), tensors[0].shape)

    def test_repository_index_lists_the_model(self):
        index = self.client.get_model_repository_index()
        states = {entry.name: entry.state for entry in index.models}
        self.assertEqual(states[OPTIONS.model], "READY")

    def test_statistics_count_what_was_answered(self):
        if OPTIONS.start:
            self.skipTest("an echo server counts nothing")

        def ask():
            return self.client.get_inference_statistics(OPTIONS.model).model_stats[0]

        before = ask()
        self.check_result(self.infer())
        with self.assertRaises(InferenceServerException):
            self.infer(parameters={"parm_deadline_us": 1})
        after = ask()
        self.assertEqual(after.name, OPTIONS.model)
        for name in ("success", "queue"):
            old = getattr(before.inference_stats, name)
            new = getattr(after.inference_stats, name)
            self.assertGreater(new.count, old.count)
        # A query that is dispatched at once spends no time in the queue.
        self.assertGreater(
            after.inference_stats.success.ns, before.inference_stats.success.ns
        )
        self.assertGreater(
            after.inference_stats.fail.count, before.inference_stats.fail.count
        )
        self.assertEqual(after.inference_count, before.inference_count + BATCH)
        self.assertGreater(after.execution_count, before.execution_count)
        self.assertGreaterEqual(after.last_inference, before.last_inference)
        self.assertGreater(after.last_inference, 0)
        names = [
            model.name for model in self.client.get_inference_statistics().model_stats
        ]
        self.assertIn(OPTIONS.model, names)
        self.check_error(
            "NOT_FOUND",
            lambda: self.client.get_inference_statistics("no such model"),
        )
        self.assertIn("statistics", self.client.get_server_metadata().extensions)

    def test_id_is_echoed_iff_given(self):
        self.assertEqual(self.infer(request_id="my id").get_response().id, "my id")
        self.assertEqual(self.infer().get_response().id, "")

    def test_outputs_come_as_requested(self):
        names = [output.name for output in OPTIONS.output]
        for wanted in ([names[0]], names[::-1]):
            self.check_result(self.infer(outputs=make_outputs(wanted)), wanted)

    def test_asynchronous_requests_all_return(self):
        results = queue.Queue()
        for seed in range(16):
            self.client.async_infer(
                OPTIONS.model,
                [make_input(make_values(seed))],
                lambda result, error: results.put((result, error)),
            )
        for _ in range(16):
            result, error = results.get(timeout=PATIENCE_S)
            self.assertIsNone(error)
            self.check_result(result)

    def test_parameters_of_the_server_are_taken(self):
        for mode in ("exact", "balanced", "fast"):
            self.check_result(self.infer(parameters={"parm_mode": mode}))
        self.check_error(
            "INVALID_ARGUMENT", lambda: self.infer(parameters={"parm_mode": "x"})
        )

    def test_a_deadline_far_away_changes_nothing(self):
        self.check_result(self.infer(client_timeout=PATIENCE_S))

    def test_wrong_requests_get_a_sentence(self):
        wrong_shape = np.zeros([BATCH, 3, 5, 7], make_values().dtype)
        self.check_error("INVALID_ARGUMENT", lambda: self.infer(wrong_shape))
        good = [make_input(make_values())]
        wrong_name = [make_input(make_values(), "no such input")]
        for code, model, inputs in (
            ("INVALID_ARGUMENT", OPTIONS.model, wrong_name),
            ("NOT_FOUND", "no such model", good),
        ):
            self.check_error(code, lambda: self.client.infer(model, inputs))
        wrong_output = make_outputs(["no such output"])
        self.check_error(
            "INVALID_ARGUMENT", lambda: self.infer(outputs=wrong_output)
        )
        self.check_error(
            "NOT_FOUND", lambda: self.client.get_model_metadata("no such model")
        )
        self.check_result(self.infer())

    def test_what_a_proxy_cannot_do_is_refused(self):
        for call in (
            self.client.get_system_shared_memory_status,
            self.client.get_cuda_shared_memory_status,
            lambda: self.client.load_model(OPTIONS.model),
            self.client.get_log_settings,
            lambda: self.client.get_trace_settings(OPTIONS.model),
        ):
            self.check_error("UNIMPLEMENTED", call)
        tensor = make_input(make_values())
        tensor.set_shared_memory("region", 16)
        self.check_error(
            "UNIMPLEMENTED", lambda: self.client.infer(OPTIONS.model, [tensor])
        )
        self.check_error(
            "UNIMPLEMENTED", lambda: self.infer(compression_algorithm="gzip")
        )

    def test_large_messages_are_read(self):
        values = np.zeros([BATCH, 2 << 20], np.float32)  # 8 MiB
        with self.assertRaises(InferenceServerException) as caught:
            self.infer(values)
        self.assertIn("shape", caught.exception.message())


class StubTest(Checks):
    """What tritonclient's classes hide."""

    def setUp(self):
        self.channel = grpc.insecure_channel(OPTIONS.url)
        self.addCleanup(self.channel.close)
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def test_typed_inputs_get_typed_outputs(self):
        values = make_values()
        raw = self.stub.ModelInfer(make_request(values))
        typed = self.stub.ModelInfer(make_request(values, typed=True, raw=False))
        for response in (raw, typed):
            self.check_response(response)
            self.assertEqual(response.id, "mine")
        self.assertEqual(len(raw.raw_output_contents), len(raw.outputs))
        self.assertEqual(len(typed.raw_output_contents), 0)
        for i, output in enumerate(typed.outputs):
            self.assertFalse(raw.outputs[i].HasField("contents"))
            contents = output.contents
            got = contents.fp32_contents or contents.int_contents
            want = np.frombuffer(
                raw.raw_output_contents[i], triton_to_np_dtype(output.datatype)
            )
            np.testing.assert_allclose(list(got), want, rtol=1e-5)

    def test_mixed_contents_are_refused(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.ModelInfer(make_request(make_values(), typed=True))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("beside raw ones", caught.exception.details())

    def test_answers_are_labelled_in_metadata(self):
        response, call = self.stub.ModelInfer.with_call(make_request(make_values()))
        metadata = dict(call.trailing_metadata())
        self.assertEqual(
            metadata["x-parm-source"], response.parameters["parm_source"].string_param
        )

    def test_health_says_serving(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", SERVICE):
            reply = health.Check(health_pb2.HealthCheckRequest(service=service))
            self.assertEqual(reply.status, health_pb2.HealthCheckResponse.SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_reflection_describes_what_clients_were_made_of(self):
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.assertIn(SERVICE, database.get_services())
        pool = DescriptorPool(database)
        service = pool.FindServiceByName(SERVICE)
        theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
        self.assertGreater(len(service.methods), 8)
        for method in service.methods:
            want = theirs.methods_by_name[method.name]
            for ours, other in (
                (method.input_type, want.input_type),
                (method.output_type, want.output_type),
            ):
                self.check_message(ours, other, set())

    def check_message(self, ours, theirs, seen):
        """Every field of ours is theirs, by number and type."""
        self.assertEqual(ours.full_name, theirs.full_name)
        if ours.full_name in seen:
            return
        seen.add(ours.full_name)
        for field in ours.fields:
            other = theirs.fields_by_name[field.name]
            self.assertEqual(field.number, other.number, field.full_name)
            self.assertEqual(field.type, other.type, field.full_name)
            self.assertEqual(field.label, other.label, field.full_name)
            if field.message_type is not None:
                self.check_message(field.message_type, other.message_type, seen)
            if field.enum_type is not None:
                self.assertEqual(
                    {value.name: value.number for value in field.enum_type.values},
                    {value.name: value.number for value in other.enum_type.values},
                )


class StreamTest(Checks):
    def setUp(self):
        self.client = sync_grpc.InferenceServerClient(OPTIONS.url)
        self.addCleanup(self.client.close)
        self.replies = queue.Queue()

    def start(self, **more):
        self.client.start_stream(
            lambda result, error: self.replies.put((result, error)), **more
        )

    def send(self, request_id, model=None):
        self.client.async_stream_infer(
            model or OPTIONS.model,
            [make_input(make_values())],
            request_id=str(request_id),
            parameters=EXACT,
        )

    def take(self):
        return self.replies.get(timeout=PATIENCE_S)

    def test_replies_come_in_the_order_of_the_queries(self):
        self.start()
        for i in range(50):
            self.send(i)
        for i in range(50):
            result, error = self.take()
            self.assertIsNone(error)
            self.check_result(result)
            response = result.get_response()
            self.assertEqual(response.id, str(i))
            final = response.parameters["triton_final_response"]
            self.assertTrue(final.bool_param)
        self.client.stop_stream()

    def test_an_error_leaves_the_stream_open(self):
        self.start()
        self.send(1)
        self.send(2, "no such model")
        self.send(3)
        for request_id in ("1", "2", "3"):
            result, error = self.take()
            if request_id == "2":
                self.assertIn("no such model", error.message())
            else:
                self.assertIsNone(error)
                self.assertEqual(result.get_response().id, request_id)
        self.client.stop_stream()

    def test_an_error_ends_the_stream_that_asks_for_it(self):
        self.start(headers={"triton_grpc_error": "true"})
        self.send(1)
        self.check_result(self.take()[0])
        self.send(2, "no such model")
        _, error = self.take()
        self.assertEqual(error.status(), "StatusCode.NOT_FOUND")


class AioTest(Checks):
    def run_with_client(self, body):
        async def run():
            async with aio_grpc.InferenceServerClient(OPTIONS.url) as client:
                await asyncio.wait_for(body(client), PATIENCE_S)

        asyncio.run(run())

    def test_server_and_model_say_that_they_are_ready(self):
        async def body(client):
            self.assertTrue(await client.is_server_live())
            self.assertTrue(await client.is_server_ready())
            self.assertTrue(await client.is_model_ready(OPTIONS.model))
            metadata = await client.get_model_metadata(OPTIONS.model)
            self.assertEqual(metadata.name, OPTIONS.model)

        self.run_with_client(body)

    def test_concurrent_requests_all_return(self):
        async def body(client):
            requests = [
                client.infer(OPTIONS.model, [make_input(make_values(seed))])
                for seed in range(16)
            ]
            for result in await asyncio.gather(*requests):
                self.check_result(result)

        self.run_with_client(body)

    def test_a_stream_answers_in_order(self):
        async def body(client):
            async def requests():
                for i in range(20):
                    yield {
                        "model_name": OPTIONS.model,
                        "inputs": [make_input(make_values(i))],
                        "request_id": str(i),
                    }

            ids = []
            async for result, error in client.stream_infer(requests()):
                self.assertIsNone(error)
                self.check_result(result)
                ids.append(result.get_response().id)
            self.assertEqual(ids, [str(i) for i in range(20)])

        self.run_with_client(body)

    def test_wrong_requests_get_a_sentence(self):
        async def body(client):
            wrong_shape = np.zeros([BATCH, 3, 5, 7], make_values().dtype)
            cases = [
                ("INVALID_ARGUMENT", OPTIONS.model, make_input(wrong_shape)),
                ("NOT_FOUND", "no such model", make_input(make_values())),
            ]
            for code, model, tensor in cases:
                with self.assertRaises(InferenceServerException) as caught:
                    await client.infer(model, [tensor])
                self.assertEqual(caught.exception.status(), f"StatusCode.{code}")

        self.run_with_client(body)


class SlowTest(Checks):
    """Against workers that take longer than the client will wait."""

    def setUp(self):
        self.client = sync_grpc.InferenceServerClient(OPTIONS.url)
        self.addCleanup(self.client.close)

    def wait_for_metric(self, name, reached):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            text = (
                urllib.request.urlopen(f"http://{OPTIONS.metrics}/metrics")
                .read()
                .decode()
            )
            found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
            if found and reached(float(found.group(1))):
                return
            time.sleep(0.02)
        self.fail(f"{name} is not what it should be:\n{text}")

    def test_a_deadline_ends_the_query(self):
        self.check_error(
            "DEADLINE_EXCEEDED",
            lambda: self.client.infer(
                OPTIONS.model, [make_input(make_values())], client_timeout=0.3
            ),
        )
        # The client's own clock said so; ours must have, too.
        self.wait_for_metric('parm_grpc_open{type="call"}', lambda value: value == 0)
        self.wait_for_metric("parm_queries_in_flight", lambda value: value == 0)

    def test_a_parameter_shortens_the_deadline(self):
        self.check_error(
            "DEADLINE_EXCEEDED",
            lambda: self.client.infer(
                OPTIONS.model,
                [make_input(make_values())],
                parameters={"parm_deadline_us": 100_000},
            ),
        )

    def test_a_cancelled_call_is_abandoned(self):
        results = queue.Queue()
        call = self.client.async_infer(
            OPTIONS.model,
            [make_input(make_values())],
            lambda result, error: results.put(error),
        )
        self.wait_for_metric("parm_queries_in_flight", lambda value: value == 1)
        call.cancel()
        error = results.get(timeout=PATIENCE_S)
        self.assertEqual(error.status(), "StatusCode.CANCELLED")
        for name in (
            "parm_grpc_abandoned_total",
            f'parm_queries_abandoned_total{{model="{OPTIONS.model}"}}',
        ):
            self.wait_for_metric(name, lambda value: value >= 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="HOST:PORT of a server that runs")
    where.add_argument("--start", nargs="+", metavar="PROGRAM")
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", type=Tensor, required=True)
    parser.add_argument("--output", type=Tensor, required=True, action="append")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--metrics", help="HOST:PORT, with --slow")
    parser.parse_args(namespace=OPTIONS)
    cases = [SlowTest] if OPTIONS.slow else [SyncTest, StubTest, StreamTest, AioTest]
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in cases
    )
    server = None
    if OPTIONS.start:
        server = subprocess.Popen(
            OPTIONS.start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        OPTIONS.url = re.search(r"grpc=(\S+)", server.stdout.readline()).group(1)
    try:
        result = unittest.TextTestRunner(verbosity=2).run(suite)
    finally:
        if server:
            server.stdin.close()
            server.wait(timeout=30)
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
