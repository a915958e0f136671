"""Starts KServe's model server with PacedMlp, one request at a time.

model.json beside this file: name, code (the folder of paced_mlp.py), file,
service_ms, seed, inputs, outputs.
"""

import asyncio
import json
import pathlib
import sys
import time

import kserve

TOLD = json.loads((pathlib.Path(__file__).parent / "model.json").read_text())
sys.path.append(TOLD["code"])

import paced_mlp  # noqa: E402


class PacedModel(kserve.Model):
    def __init__(self):
        super().__init__(TOLD["name"])
        self.model = paced_mlp.PacedMlp(TOLD["file"], TOLD["service_ms"], TOLD["seed"])
        self.turn = asyncio.Lock()
        self.ready = True

    async def get_input_types(self):
        return TOLD["inputs"]

    async def get_output_types(self):
        return TOLD["outputs"]

    async def predict(self, payload, headers=None, response_headers=None):
        async with self.turn:
            free_at = time.monotonic() + self.model.service_s()
            scores = self.model.forward(payload.inputs[0].as_numpy())
            await asyncio.sleep(max(0, free_at - time.monotonic()))
        output = kserve.InferOutput(TOLD["outputs"][0]["name"], list(scores.shape), "FP32")
        output.set_data_from_numpy(scores, payload.use_binary_outputs or False)
        return kserve.InferResponse(payload.id or "none", self.name, [output])


if __name__ == "__main__":
    kserve.ModelServer().start([PacedModel()])
