"""README.md's "Your own model in five commands", run as it is written there.

The files and the commands are read from the README. What is changed: addresses
and ports, so that several runs may go on at once; fewer epochs; and times that
a busy machine cannot miss (see TEST_VALUES). The model is one that parm-train
made; its file is all that is kept of it.
"""

import concurrent.futures
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

SECTION = "## Your own model in five commands"
FASHION_MNIST = "/usr/share/datasets/fashion-mnist"
GIVE_UP_S = 120
MIN_CAPTURED = 150

TEST_VALUES = [
    # libzmq takes paths up to 107 characters.
    (r"tcp://127\.0\.0\.1:([\d$i]+)", r"ipc://\1.sock"),
    (r"^(.*parm-frontend .*?)( &)?$", r"\1 --http-port 0 --allow-grpc=false --metrics-port 0\2"),
    (r"^(parm-train parity .*)$", r"\1 --epochs 1"),
    (r"deadline: 500ms", "deadline: 30s"),
    # A stopped worker's tasks stay with it, so that only a decode can answer.
    (r"^models:$", "health: {heartbeat_timeout: 100s}\nmodels:"),
]


def read_section():
    path = os.path.join(os.environ["PARM_SOURCE"], "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    section = text.split(SECTION + "\n", 1)[1].split("\n## ", 1)[0]
    for pattern, value in TEST_VALUES:
        section, count = re.subn(pattern, value, section, flags=re.MULTILINE)
        if count == 0:
            raise AssertionError(f"README.md has no more {pattern}")
    files = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", section, re.DOTALL))
    commands = re.search(r"```sh\n(parm-train deployed.*?)```", section,
                         re.DOTALL)[1].splitlines()
    return files, commands


def read_pictures(count):
    with gzip.open(f"{FASHION_MNIST}/t10k-images-idx3-ubyte.gz") as file:
        file.read(16)
        return [[float(value) for value in file.read(784)]
                for _ in range(count)]


def wait_until(condition, what):
    give_up = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"gave up waiting until {what}")


class OwnModelTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="parm")
        self.addCleanup(shutil.rmtree, self.folder)
        self.sessions = []
        self.addCleanup(self.end_processes)
        self.env = dict(os.environ)
        self.env["PATH"] = f"{os.environ['PARM_BIN']}:{self.env['PATH']}"

    def processes(self):
        """Process id and command line of what runs in our sessions."""
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii",
                          errors="replace") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                with open(f"/proc/{entry}/cmdline", encoding="utf-8",
                          errors="replace") as file:
                    command = file.read().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) in self.sessions and fields[0] != "Z":
                yield int(entry), command

    def end_processes(self):
        def kill_all():
            alive = [process for process, _ in self.processes()]
            for process in alive:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not alive

        wait_until(kill_all, "every process has ended")

    def log(self):
        with open(f"{self.folder}/log", encoding="utf-8") as file:
            return file.read()

    def run_command(self, command):
        """As a shell runs it; what it leaves in the background runs on."""
        with open(f"{self.folder}/log", "ab") as log:
            process = subprocess.Popen(
                ["bash", "-e", "-c", command], cwd=self.folder, env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.sessions.append(process.pid)
        self.assertEqual(process.wait(GIVE_UP_S), 0, self.log())

    def get(self, url):
        with urllib.request.urlopen(url, timeout=GIVE_UP_S) as reply:
            return reply.read().decode()

    def metric(self, series):
        for line in self.get(self.metrics_url).splitlines():
            if line.startswith(series + " "):
                return float(line.split()[-1])
        return 0

    def is_ready(self):
        try:
            self.get(self.url + "/v2/health/ready")
            return True
        except urllib.error.HTTPError:
            return False

    def infer(self, picture):
        """The answer's source and values."""
        body = {"inputs": [{"name": "input", "datatype": "FP32",
                            "shape": [1, 1, 28, 28], "data": picture}]}
        request = urllib.request.Request(
            f"{self.url}/v2/models/my-model/infer",
            data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=GIVE_UP_S) as reply:
            answer = json.loads(reply.read())
            self.assertEqual(len(answer["outputs"][0]["data"]), 10)
            return reply.headers["x-parm-source"]

    def make_model(self):
        self.run_command(
            f"parm-train deployed --data idx:{FASHION_MNIST} --arch cnn "
            "--limit-train 500 --limit-test 50 --epochs 1 --out made && "
            "mv made/model.pt my_model.pt && rm -r made")

    def test_commands_of_the_readme_reconstruct(self):
        files, commands = read_section()
        self.assertEqual(len(commands), 5)
        for name, text in files.items():
            with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
        self.make_model()
        pictures = read_pictures(MIN_CAPTURED)
        for command in commands[:3]:
            self.run_command(command)
        ready = wait_until(
            lambda: re.search(r"http=(\S+) metrics=(\S+)", self.log()),
            "the frontend listens")
        self.url = f"http://{ready[1]}"
        self.metrics_url = f"http://{ready[2]}/metrics"
        wait_until(self.is_ready, "a worker serves the model")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            # Beyond the capture's rate nothing is taken.
            def enough_captured():
                sources = set(pool.map(self.infer, pictures[:50]))
                self.assertEqual(sources, {"exact"})
                return self.metric(
                    'parm_capture_rows{model="my-model"}') >= MIN_CAPTURED

            wait_until(enough_captured, "queries are captured")
            for command in commands[3:]:
                self.run_command(command)
            self.assertIn("right is what the deployed model answers", self.log())
            for worker in ("7001", "7002", "7003"):
                wait_until(
                    lambda: self.metric(
                        f'parm_worker_state{{worker="ipc://{worker}.sock",'
                        'state="up"}') == 1,
                    f"worker {worker} is up")

            stopped = [process for process, command in self.processes()
                       if "--id w2" in command]
            self.assertEqual(len(stopped), 1)
            os.kill(stopped[0], signal.SIGSTOP)
            sources = list(pool.map(self.infer, pictures[:32]))
        self.assertIn("reconstructed", sources)
        self.assertEqual(set(sources) - {"exact"}, {"reconstructed"})


if __name__ == "__main__":
    unittest.main()
