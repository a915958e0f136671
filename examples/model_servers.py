"""Starts real model servers from PyPI, each kind in an environment of its own.

Used by the examples and by the tests with the label `servers`. Everything binds
to 127.0.0.1, and what was started ends with stop(), with the process that
started it at the latest.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "examples" / "requirements"
# Shared by all builds; PARM_SERVERS names another place.
ENVIRONMENTS = pathlib.Path(os.environ.get("PARM_SERVERS", ROOT / "build" / "servers"))


class Unavailable(Exception):
    """The environment cannot be made: PyPI cannot be reached."""


def environment(kind):
    """The folder of the virtual environment of `kind`; made if need be.

    Triton's stub loads the system's libpython, so it is Debian's own Python.
    """
    folder = ENVIRONMENTS / kind
    pins = (REQUIREMENTS / f"{kind}.txt").read_text()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with open(ENVIRONMENTS / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "requirements.installed"
        if stamp.exists() and stamp.read_text() == pins:
            return folder
        print(f"installing {kind} into {folder}", file=sys.stderr, flush=True)
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", folder], check=True)
        done = subprocess.run(
            [folder / "bin" / "python", "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", "--no-deps", "-r", REQUIREMENTS / f"{kind}.txt"])
        if done.returncode != 0:
            raise Unavailable(f"pip could not install {REQUIREMENTS / kind}.txt")
        if kind == "triton":
            _unpack_triton(folder)
        stamp.write_text(pins)
    return folder


def _site_packages(folder):
    return next((folder / "lib").glob("python3.*/site-packages"))


def _unpack_triton(folder):
    """Lays the server of the pytriton wheel out as it wants to be started."""
    packages = _site_packages(folder)
    wheel = packages / "pytriton" / "tritonserver"
    server = folder / "tritonserver"
    shutil.rmtree(server, ignore_errors=True)
    for part in ("bin", "backends", "caches"):
        shutil.copytree(wheel / part, server / part)
    version = packages.parent.name.removeprefix("python")
    shutil.copy(wheel / "python_backend_stubs" / version / "triton_python_backend_stub",
                server / "backends" / "python")


def free_port():
    """A port that nobody takes before it is used.

    Below those that systems give away by themselves: a connection that some
    other program makes meanwhile might be given a free one of these.
    """
    for _ in range(100):
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise RuntimeError("no free port was found")


def _end_with_parent():
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGKILL)


class Server:
    """One process. http: its URL; ended by stop()."""

    def __init__(self, command, http_port, log, env=None, cwd=None):
        self.http = f"http://127.0.0.1:{http_port}"
        self.log = pathlib.Path(log)
        with open(self.log, "wb") as out:
            # A session of its own, so that a server's own children end with it.
            self.process = subprocess.Popen(
                [str(word) for word in command], stdout=out, stderr=out, env=env,
                cwd=cwd, start_new_session=True, preexec_fn=_end_with_parent)

    def _signal_all(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def pause(self):
        """Its children go on: Triton ends itself if the stub of a Python model
        is stopped while it holds a lock that both share.
        """
        os.kill(self.process.pid, signal.SIGSTOP)

    def check_alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the server at {self.http} has ended by itself, see {self.log}")

    def resume(self):
        self._signal_all(signal.SIGCONT)

    def kill(self):
        self._signal_all(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.resume()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def wait_ready(self, model=None, timeout=300):
        """Until the server (and the model) say so."""
        path = f"/v2/models/{model}/ready" if model else "/v2/health/ready"
        give_up = time.monotonic() + timeout
        while time.monotonic() < give_up:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(self.http + path, timeout=2):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise RuntimeError(f"{path} was not ready in time:\n{self.log.read_text()[-4000:]}")


# Numpy would compute on all cores, and wait for work on them.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def start_triton(repository, log):
    """tritonserver over a model repository, HTTP and gRPC on free ports."""
    folder = environment("triton")
    server = folder / "tritonserver"
    http, grpc, metrics = free_port(), free_port(), free_port()
    env = dict(os.environ, **_ONE_THREAD,
               LD_LIBRARY_PATH=str(_site_packages(folder) / "nvidia_pytriton.libs"),
               PATH=f"{folder / 'bin'}:{os.environ['PATH']}")
    started = Server(
        [server / "bin" / "tritonserver", f"--model-repository={repository}",
         f"--backend-directory={server / 'backends'}",
         "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1",
         f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}",
         "--http-thread-count=2", "--log-verbose=0"],
        http, log, env=env)
    started.grpc = f"127.0.0.1:{grpc}"
    return started


def start_mlserver(folder, log):
    """mlserver over a folder of models (model-settings.json and their code)."""
    environment_folder = environment("mlserver")
    http, grpc, metrics = free_port(), free_port(), free_port()
    (pathlib.Path(folder) / "settings.json").write_text(json.dumps({
        "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
        "parallel_workers": 0, "debug": False}))
    env = dict(os.environ, **_ONE_THREAD, PATH=f"{environment_folder / 'bin'}:{os.environ['PATH']}")
    started = Server([environment_folder / "bin" / "mlserver", "start", folder], http, log, env=env,
                     cwd=folder)
    started.grpc = f"127.0.0.1:{grpc}"
    return started


# The SDK listens on all addresses whatever it is told.
_ON_LOOPBACK = """
import runpy, sys, grpc.aio._server, uvicorn
config = uvicorn.Config.__init__
def on_loopback(self, *args, **options):
    config(self, *args, **{**options, "host": "127.0.0.1"})
uvicorn.Config.__init__ = on_loopback
add_port = grpc.aio._server.Server.add_insecure_port
grpc.aio._server.Server.add_insecure_port = (
    lambda self, address: add_port(self, address.replace("[::]", "127.0.0.1")))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start_kserve(script, log):
    """A script that starts kserve.ModelServer, HTTP and gRPC on loopback."""
    folder = environment("kserve")
    http, grpc = free_port(), free_port()
    started = Server(
        [folder / "bin" / "python", "-c", _ON_LOOPBACK, script, f"--http_port={http}",
         f"--grpc_port={grpc}", "--workers=1"], http, log,
        env={**os.environ, **_ONE_THREAD})
    started.grpc = f"127.0.0.1:{grpc}"
    return started
