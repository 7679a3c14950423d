"""The handwritten digits inside scikit-learn as graphs of pixels."""

import itertools

import numpy as np
from jraphx_eqx.data import Data
from sklearn.datasets import load_digits

_NEIGHBOURS = [step for step in itertools.product((-1, 0, 1), repeat=2) if step != (0, 0)]


def digit_graphs() -> list[Data]:
    """All 1797 digits, in the order of scikit-learn."""
    digits = load_digits()
    return [
        pixel_graph(image, label) for image, label in zip(digits.images, digits.target, strict=True)
    ]


def pixel_graph(image: np.ndarray, label: int) -> Data:
    """The pixels that are not zero, each joined to those of its 8 neighbours that are not zero.

    Features are intensity, row and column, all in [0, 1]. Every edge is there in both directions.
    """
    rows, columns = np.nonzero(image)
    height, width = image.shape
    node = np.full((height + 2, width + 2), -1)  # a frame, so that no step leaves the image
    node[rows + 1, columns + 1] = np.arange(len(rows))
    ends = np.stack([node[rows + 1 + down, columns + 1 + right] for down, right in _NEIGHBOURS])
    _, source = np.nonzero(ends >= 0)
    edge_index = np.stack([source, ends[ends >= 0]]).astype(np.int32)
    position = np.stack([rows / (height - 1), columns / (width - 1)], axis=1)
    intensity = image[rows, columns] / 16
    x = np.concatenate([intensity[:, None], position], axis=1).astype(np.float32)
    return Data(x=x, edge_index=edge_index, y=np.int32(label))
