"""Drives a frontend that speaks TLS with an unmodified tritonclient.

  tritonclient_tls_test.py --http localhost:8000 --grpc localhost:8001 \
      --model linear --directory DIR

The ports ask clients for a certificate. DIR holds authority.pem, good.pem and
good.key, and what the ports must refuse: bad.pem and bad.key.
"""

import argparse
import asyncio
import ssl
import unittest

import numpy as np
import tritonclient.grpc as sync_grpc
import tritonclient.http as sync_http
import tritonclient.http.aio as aio_http
from tritonclient.utils import InferenceServerException

OPTIONS = argparse.Namespace()


def path(name):
    return f"{OPTIONS.directory}/{name}"


def make_input(module):
    tensor = module.InferInput("x", [1, 16], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 16), np.float32))
    return [tensor]


def http_client(own=None):
    options = {"ca_certs": path("authority.pem")}
    if own is not None:
        options["certfile"] = path(f"{own}.pem")
        options["keyfile"] = path(f"{own}.key")
    return sync_http.InferenceServerClient(
        OPTIONS.http, ssl=True, ssl_options=options
    )


def grpc_client(own=None):
    return sync_grpc.InferenceServerClient(
        OPTIONS.grpc,
        ssl=True,
        root_certificates=path("authority.pem"),
        private_key=own and path(f"{own}.key"),
        certificate_chain=own and path(f"{own}.pem"),
    )


class TlsTest(unittest.TestCase):
    def check(self, result):
        self.assertEqual(result.as_numpy("logits").shape, (1, 4))

    def test_http_serves_a_right_certificate(self):
        client = http_client("good")
        for _ in range(3):
            self.check(client.infer(OPTIONS.model, make_input(sync_http)))
        client.close()

    def test_http_aio_serves_a_right_certificate(self):
        async def ask():
            context = ssl.create_default_context(cafile=path("authority.pem"))
            context.load_cert_chain(path("good.pem"), path("good.key"))
            client = aio_http.InferenceServerClient(
                OPTIONS.http, ssl=True, ssl_context=context
            )
            result = await client.infer(OPTIONS.model, make_input(aio_http))
            await client.close()
            return result

        self.check(asyncio.run(ask()))

    def test_http_refuses_missing_and_wrong_certificates(self):
        for own in (None, "bad"):
            client = http_client(own)
            with self.assertRaises((OSError, ssl.SSLError)):
                client.infer(OPTIONS.model, make_input(sync_http))
            client.close()

    def test_grpc_serves_a_right_certificate(self):
        client = grpc_client("good")
        self.check(client.infer(OPTIONS.model, make_input(sync_grpc)))
        client.close()

    def test_grpc_refuses_missing_and_wrong_certificates(self):
        for own in (None, "bad"):
            client = grpc_client(own)
            with self.assertRaises(InferenceServerException) as caught:
                client.infer(OPTIONS.model, make_input(sync_grpc))
            self.assertIn("UNAVAILABLE", caught.exception.status())
            client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("http", "grpc", "model", "directory"):
        parser.add_argument(f"--{option}", required=True)
    parser.parse_args(namespace=OPTIONS)
    unittest.main(argv=["tritonclient_tls_test"])
