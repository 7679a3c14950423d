from typing import Any

import numpy as np


def draw_scores(outputs: Any, *, bins: int = 30, axes: Any = None) -> Any:
    """How the scores of the nodes that poolings keep are distributed: a histogram for each pooling.

    Scores gate the features of kept nodes, so those around 0 pass little on, and scores that are
    all alike say that the pooling has not learned to tell nodes apart.

    **Arguments:**

    - `outputs`: a [`PoolOutput`][jraphx_eqx.nn.pool.PoolOutput] of a pooling that keeps nodes, or a
        list of them, one after the other. Padding is not counted.
    - `bins`: into how many parts the range of all scores is divided.
    - `axes`: matplotlib's axes to draw on. By default new ones.

    **Returns:** the axes.

    **Raises:** `ValueError` if a pooling makes clusters, which have no scores.
    """
    import matplotlib.pyplot as plt

    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    for place, output in enumerate(outputs):
        if not output.select.keeps_nodes or output.score is None:
            raise ValueError(
                f"output {place} must be of a pooling that keeps nodes, for its scores"
            )
    scores = [
        np.asarray(output.score)[np.asarray(output.batch.index) < output.batch.num_graphs]
        for output in outputs
    ]
    edges = np.histogram_bin_edges(np.concatenate(scores), bins)
    if axes is None:
        _, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    for place, score in enumerate(scores):
        counts, _ = np.histogram(score, edges)
        axes.stairs(counts, edges, label=f"pooling {place + 1}: {len(score)} nodes", linewidth=1.5)
    axes.set(xlabel="score", ylabel="nodes that are kept", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
