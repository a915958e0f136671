"""paced_mlp.py, the numpy twin of the trainer's MLP: which values each layer and
head of it sees. That the numbers are the bundle's the frontend proves by probes
for deployed models alone; for parity models this is what there is.
"""

import pathlib
import sys
import unittest

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import paced_mlp  # noqa: E402

HEIGHT, WIDTH, CLASSES = 4, 6, 3


def model(inputs, heads):
    """With random weights; heads == 0: a deployed model."""
    draw = np.random.default_rng(5)
    mlp = paced_mlp.PacedMlp.__new__(paced_mlp.PacedMlp)
    head = (heads,) if heads else ()

    def values(*shape):
        return draw.normal(size=shape).astype(np.float32)

    mlp._weights = {
        "input_scale": 0.5, "input_shift": -1.0,
        "first_weight": values(8, inputs), "first_bias": values(8),
        "second_weight": values(5, 8), "second_bias": values(5),
        "head_weight": values(*head, CLASSES, 5), "head_bias": values(*head, CLASSES)}
    return mlp


def answer(mlp, flat, head=None):
    """Of flat inputs, one layer after the other."""
    w = mlp._weights
    x = flat * 0.5 - 1.0
    x = np.maximum(x @ w["first_weight"].T + w["first_bias"], 0)
    x = np.maximum(x @ w["second_weight"].T + w["second_bias"], 0)
    if head is None:
        return x @ w["head_weight"].T + w["head_bias"]
    return x @ w["head_weight"][head].T + w["head_bias"][head]


class PacedMlpTest(unittest.TestCase):
    def setUp(self):
        self.pictures = np.random.default_rng(6).uniform(
            0, 255, (7, 1, HEIGHT, WIDTH)).astype(np.float32)

    def test_a_deployed_model_sees_whole_pictures(self):
        mlp = model(HEIGHT * WIDTH, heads=0)
        np.testing.assert_allclose(
            mlp.forward(self.pictures), answer(mlp, self.pictures.reshape(7, -1)), rtol=1e-4)

    def test_heads_of_whole_pictures_all_see_them(self):
        mlp = model(HEIGHT * WIDTH, heads=2)
        outputs = mlp.forward(self.pictures)
        self.assertEqual(outputs.shape, (2, 7, CLASSES))
        for head in range(2):
            np.testing.assert_allclose(
                outputs[head], answer(mlp, self.pictures.reshape(7, -1), head), rtol=1e-4)

    def test_each_head_sees_its_own_cell(self):
        # Two cells side by side; three and four in two rows of two.
        for heads, rows in ((2, 1), (3, 2), (4, 2)):
            height, width = HEIGHT // rows, WIDTH // 2
            mlp = model(height * width, heads)
            outputs = mlp.forward(self.pictures)
            self.assertEqual(outputs.shape, (heads, 7, CLASSES))
            for head in range(heads):
                top, left = head // 2 * height, head % 2 * width
                cell = self.pictures[:, :, top:top + height, left:left + width]
                np.testing.assert_allclose(
                    outputs[head], answer(mlp, cell.reshape(7, -1), head), rtol=1e-4)


if __name__ == "__main__":
    unittest.main()
