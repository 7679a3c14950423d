"""The handwritten digits inside scikit-learn as graphs of pixels."""

import numpy as np
from sklearn.datasets import load_digits

from jraphx_eqx.data import Data


def digit_graphs() -> list[Data]:
    """All 1797 digits, in the order of scikit-learn."""
    digits = load_digits()
    return [
        pixel_graph(image, label) for image, label in zip(digits.images, digits.target, strict=True)
    ]


def pixel_graph(image: np.ndarray, label: int) -> Data:
    """The pixels of an 8 by 8 image that are not zero, each joined to its 8 neighbours.

    Features are intensity, row and column, all in (0, 1]. Every edge is there in both directions.
    """
    rows, columns = np.nonzero(image)
    down = np.abs(rows[:, None] - rows)
    right = np.abs(columns[:, None] - columns)
    edge_index = np.stack(np.nonzero(np.maximum(down, right) == 1))
    x = np.stack([image[rows, columns] / 16, (rows + 1) / 8, (columns + 1) / 8], axis=1)
    return Data(x=x.astype(np.float32), edge_index=edge_index.astype(np.int32), y=int(label))
