from typing import Any

import numpy as np

from ..data import Data


def digits() -> list[Data]:
    """The 1797 handwritten digits inside scikit-learn as graphs of pixels, in its order.

    The pixels of an 8 by 8 image that are not zero are nodes, each joined to its 8 neighbours.
    Features are intensity, row and column, all in (0, 1]. `y` is the digit.
    """
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    return [
        _pixel_graph(image, label)
        for image, label in zip(found.images, found.target.tolist(), strict=True)
    ]


def _pixel_graph(image: np.ndarray, label: int) -> Data:
    rows, columns = np.nonzero(image)
    down = np.abs(rows[:, None] - rows)
    right = np.abs(columns[:, None] - columns)
    edge_index = np.stack(np.nonzero(np.maximum(down, right) == 1))
    x = np.stack([image[rows, columns] / 16, (rows + 1) / 8, (columns + 1) / 8], axis=1)
    return Data(x=x.astype(np.float32), edge_index=edge_index.astype(np.int32), y=label)
