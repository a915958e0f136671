"""Starts frontends and workers as processes and ends every one of them.

Each child runs in a session of its own, so that Ctrl-C reaches only the driver,
which then ends its children in order; should the driver itself be killed, the
kernel kills them (PR_SET_PDEATHSIG).
"""

import contextlib
import ctypes
import dataclasses
import os
import selectors
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@contextlib.contextmanager
def _signals_deferred():
    """Yields the mask before. What a handler raises here would be lost: Python
    swallows it in the hooks that modules such as logging run around a fork.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK,
                                    (signal.SIGINT, signal.SIGTERM))
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_child(mask):
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Job:
    """A child that runs to its end after those that it needs."""

    name: str
    command: tuple
    needs: tuple = ()  # names of jobs; those that are no jobs here are done


class ProcessSet:
    """Children that end with the `with` block, however it is left."""

    def __init__(self, log_dir):
        self._log_dir = log_dir
        self._children = {}  # name -> Popen
        os.makedirs(log_dir, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop_all()

    def start(self, name, command, stdin=subprocess.DEVNULL, pass_fds=()):
        """Starts a child, which inherits `pass_fds`; its stderr is appended to
        NAME.log.
        """
        with open(os.path.join(self._log_dir, f"{name}.log"), "ab") as log:
            return self._start(name, command, stdin=stdin,
                               stdout=subprocess.PIPE, stderr=log,
                               pass_fds=pass_fds)

    def run(self, name, command, stdout=None):
        """Runs a child to its end; its exit status. Its output is ours, unless
        `stdout` says otherwise.
        """
        child = self._start(name, command, stdin=subprocess.DEVNULL,
                            stdout=stdout)
        child.wait()
        del self._children[name]
        return child.returncode

    def run_all(self, jobs, at_once, started=lambda job: None):
        """Runs jobs to their ends, at most `at_once` of them together, those
        that come first as soon as they can. Output is ours if that is one, else
        that of each is appended to NAME.log. Returns the first (job, exit
        status) that is not 0, the others being stopped, or None.
        """
        waiting, running = list(jobs), {}
        with contextlib.ExitStack() as ends:
            selector = ends.enter_context(selectors.DefaultSelector())
            while waiting or running:
                for job in self._ready(waiting, running.values(), at_once):
                    waiting.remove(job)
                    started(job)
                    self._start_job(job, own_log=at_once > 1)
                    end = os.pidfd_open(self.pid(job.name))
                    ends.callback(os.close, end)
                    selector.register(end, selectors.EVENT_READ)
                    running[end] = job
                for key, _ in selector.select():
                    selector.unregister(key.fd)
                    job = running.pop(key.fd)
                    status = self._children.pop(job.name).wait()
                    if status != 0:
                        self.stop_all()
                        return job, status
        return None

    @staticmethod
    def _ready(waiting, running, at_once):
        """Those to start now."""
        undone = {job.name for job in (*waiting, *running)}
        ready = [job for job in waiting if undone.isdisjoint(job.needs)]
        if not ready and not running:
            raise ValueError(f"{waiting[0].name} waits for what waits for it")
        return ready[:at_once - len(running)]

    def _start_job(self, job, own_log):
        if not own_log:
            self._start(job.name, job.command, stdin=subprocess.DEVNULL)
            return
        with open(os.path.join(self._log_dir, f"{job.name}.log"), "ab") as log:
            self._start(job.name, job.command, stdin=subprocess.DEVNULL,
                        stdout=log, stderr=log)

    def _start(self, name, command, **streams):
        with _signals_deferred() as mask:
            try:
                child = subprocess.Popen(
                    command, start_new_session=True,
                    preexec_fn=lambda: _begin_child(mask), **streams)
            except OSError as error:
                raise RuntimeError(
                    f"cannot start {command[0]}: {error.strerror}") from error
            self._children[name] = child
        return child

    def wait_ready(self, name, timeout_s=120):
        """The key=value words of the child's ready line, as a dictionary."""
        child = self._children[name]
        deadline = time.monotonic() + timeout_s
        text = b""
        os.set_blocking(child.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RuntimeError(f"{name} is not ready in {timeout_s} s")
                if not selector.select(left):
                    continue
                chunk = child.stdout.read(4096)
                if chunk == b"":
                    # Its output ends a moment before the process does.
                    self._await_end(child)
                    raise RuntimeError(
                        f"{name} ended before it was ready: see "
                        f"{self._log_dir}/{name}.log\n{self.log_tail(name)}")
                text += chunk or b""
                for line in text.decode().splitlines(keepends=True):
                    words = line.split()
                    if line.endswith("\n") and "ready" in words:
                        return dict(
                            word.split("=", 1) for word in words
                            if "=" in word)

    @staticmethod
    def _await_end(child, timeout_s=10):
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass  # It closed its output and lives on.

    def log_tail(self, name, num_bytes=2000):
        path = os.path.join(self._log_dir, f"{name}.log")
        with open(path, "rb") as log:
            return log.read()[-num_bytes:].decode(errors="replace")

    def pid(self, name):
        return self._children[name].pid

    def check_alive(self, may_end=()):
        """Raises if a child ended that nobody stopped, but for those of these
        names.
        """
        for name, child in self._children.items():
            if name not in may_end and child.poll() is not None:
                raise RuntimeError(
                    f"{name} ended with status {child.returncode}\n"
                    f"{self.log_tail(name)}")

    def signal(self, name, number):
        """Nothing if it is gone."""
        child = self._children.get(name)
        if child is not None and child.poll() is None:
            child.send_signal(number)

    def kill(self, name):
        """kill -9, as a machine that dies."""
        child = self._children.pop(name)
        child.kill()
        child.wait()
        child.stdout.close()

    def stop_all(self, grace_s=5):
        """SIGTERM to all, SIGKILL to those that are left."""
        children = list(self._children.values())
        self._children.clear()
        for child in children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + grace_s
        for child in children:
            try:
                child.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdout:
                child.stdout.close()
