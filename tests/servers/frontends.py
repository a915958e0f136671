"""parm-frontend in front of model servers, for the tests of this folder."""

import contextlib
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import grpc_transparency  # noqa: E402
import model_servers  # noqa: E402
import transparency  # noqa: E402

SKIPPED = 77  # CTest's SKIP_RETURN_CODE


class Frontend(model_servers.Server):
    """parm-frontend over `yaml`, which is text."""

    def __init__(self, yaml, folder):
        folder = pathlib.Path(folder)
        (folder / "frontend.yaml").write_text(yaml)
        program = pathlib.Path(os.environ.get("PARM_BIN", ROOT / "build/dev/bin")) / "parm-frontend"
        http, grpc, metrics = (model_servers.free_port() for _ in range(3))
        super().__init__(
            [program, "--config", folder / "frontend.yaml",
             "--http-port", str(http), "--grpc-port", str(grpc),
             "--metrics-port", str(metrics)],
            http, folder / "frontend.log")
        self.grpc = f"127.0.0.1:{grpc}"
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"


def endpoint(server, protocol="http"):
    return server.http if protocol == "http" else f"grpc://{server.grpc}"


def configuration(servers, models, protocol="http"):
    """frontend.yaml: every server has every model."""
    return ("workers:\n"
            + "".join(f'  - {{endpoint: "{endpoint(server, protocol)}"}}\n' for server in servers)
            + "models:\n" + "".join(
                f'  - {{name: "{model["name"]}", deadline: 60s, batching: {{max_batch_size: 8,'
                " timeout: 0ms}}\n" for model in models))


@contextlib.contextmanager
def ended(*servers):
    """Ends them; what they said is shown if the test fails."""
    try:
        yield servers
    except Exception:
        for server in servers:
            print(f"--- {server.log}\n{server.log.read_text()[-3000:]}")
        raise
    finally:
        for server in reversed(servers):
            server.stop()


@contextlib.contextmanager
def in_front_of(servers, models, folder, protocol="http"):
    """A frontend that has met all models of the servers."""
    with ended(Frontend(configuration(servers, models, protocol), folder)) as (frontend,):
        yield frontend.wait_ready()


def check_tolerant(kind, start, write_models, last, count, seed, only_grpc=(), ids=None,
                   also=None):
    """For servers that check less than the frontend does and take less over HTTP than
    its clients may say: whatever the form, the answer is that of plain JSON; over gRPC
    it is the server's own.

    start(folder, log) starts one over what write_models(folder) wrote; `last` is
    the model that is ready last. only_grpc: models that JSON has no words for.
    ids: what a request may be called directly; None: anything. also(server,
    frontend) checks more.
    """
    with tempfile.TemporaryDirectory(prefix=f"parm_{kind}") as name:
        folder = pathlib.Path(name)
        (folder / "models").mkdir()
        models = [{"name": model, "inputs": [("x" + d, d) for d in datatypes],
                   "outputs": [("y" + d, d) for d in datatypes],
                   "binary": False, "compress": False, "spoil": False, "makes_up": True,
                   **({} if ids is None else {"ids": ids})}
                  for model, datatypes in write_models(folder / "models").items()]
        for_http = [model for model in models if model["name"] not in only_grpc]
        with ended(start(folder / "models", folder / f"{kind}.log")) as (server,):
            server.wait_ready(last)
            for protocol in ("http", "grpc"):
                served = for_http if protocol == "http" else models
                with in_front_of([server], served, folder, protocol) as frontend:
                    over_http = transparency.check(server.http, frontend.http, for_http, count,
                                                   seed)
                    over_grpc = grpc_transparency.check(server.grpc, frontend.grpc, served, count,
                                                        seed)
                    if also is not None:
                        also(server, frontend)
                print(f"{kind} over {protocol}: {over_http} of {count} HTTP requests, half of "
                      f"them binary, and {over_grpc} of {count} gRPC requests answered alike")
                assert over_http == count and over_grpc == count


def run(main):
    """Calls main(); the exit status says whether it was skipped."""
    started = time.monotonic()
    try:
        main()
    except model_servers.Unavailable as error:
        print(f"SKIPPED: {error}")
        sys.exit(SKIPPED)
    print(f"passed in {time.monotonic() - started:.1f} s")
