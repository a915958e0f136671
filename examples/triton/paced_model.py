"""A Triton model (Python backend): PacedMlp, one request at a time.

Parameters of config.pbtxt: code (the folder of paced_mlp.py), file, service_ms,
seed.
"""

import json
import sys
import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        told = {key: value["string_value"] for key, value in config["parameters"].items()}
        sys.path.append(told["code"])
        import paced_mlp
        self.model = paced_mlp.PacedMlp(told["file"], told["service_ms"], told["seed"])
        self.input = config["input"][0]["name"]
        self.output = config["output"][0]["name"]

    def execute(self, requests):
        replies = []
        for request in requests:
            free_at = time.monotonic() + self.model.service_s()
            scores = self.model.forward(pb.get_input_tensor_by_name(request, self.input).as_numpy())
            time.sleep(max(0, free_at - time.monotonic()))
            replies.append(pb.InferenceResponse([pb.Tensor(self.output, scores)]))
        return replies
