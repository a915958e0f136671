"""parm-frontend in front of model servers, for the tests of this folder."""

import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import model_servers  # noqa: E402

SKIPPED = 77  # CTest's SKIP_RETURN_CODE


class Frontend(model_servers.Server):
    """parm-frontend over `yaml`, which is text."""

    def __init__(self, yaml, folder):
        folder = pathlib.Path(folder)
        (folder / "frontend.yaml").write_text(yaml)
        program = pathlib.Path(os.environ.get("PARM_BIN", ROOT / "build/dev/bin")) / "parm-frontend"
        http, metrics = model_servers.free_port(), model_servers.free_port()
        super().__init__(
            [program, "--config", folder / "frontend.yaml",
             "--http-port", str(http), "--allow-grpc=false",
             "--metrics-port", str(metrics)],
            http, folder / "frontend.log")
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"


def run(main):
    """Calls main(); the exit status says whether it was skipped."""
    started = time.monotonic()
    try:
        main()
    except model_servers.Unavailable as error:
        print(f"SKIPPED: {error}")
        sys.exit(SKIPPED)
    print(f"passed in {time.monotonic() - started:.1f} s")
