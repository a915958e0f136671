"""An MLServer runtime: PacedMlp, one request at a time.

In model-settings.json, parameters.extra: code (the folder of paced_mlp.py),
file, service_ms, seed.
"""

import asyncio
import sys
import time

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class PacedModel(MLModel):
    async def load(self):
        told = self.settings.parameters.extra
        sys.path.append(told["code"])
        import paced_mlp
        self.model = paced_mlp.PacedMlp(told["file"], told["service_ms"], told["seed"])
        self.turn = asyncio.Lock()
        return True

    async def predict(self, payload):
        async with self.turn:
            free_at = time.monotonic() + self.model.service_s()
            scores = self.model.forward(NumpyCodec.decode_input(payload.inputs[0]))
            await asyncio.sleep(max(0, free_at - time.monotonic()))
        return InferenceResponse(
            id=payload.id, model_name=self.name, model_version=self.version,
            outputs=[NumpyCodec.encode_output(self.settings.outputs[0].name, scores)])
