from typing import Any

import numpy as np

from ..loading import Loader


def draw_budget(loader: Loader, *, axes: Any = None) -> Any:
    """How full the batches of the loader's present epoch are: nodes, edges and graphs of each, as a
    share of the room that there is.

    **Arguments:**

    - `loader`: a [`Loader`][jraphx_eqx.loading.Loader]. It is not advanced.
    - `axes`: matplotlib's axes to draw on. By default new ones.

    **Returns:** the axes.
    """
    import matplotlib.pyplot as plt

    if axes is None:
        _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    used, room = loader.fill()
    place = np.arange(len(used) + 1)
    for column, name in enumerate(("nodes", "edges", "graphs")):
        share = 100 * used[:, column] / np.maximum(room[:, column], 1)
        whole = 100 * used[:, column].sum() / max(room[:, column].sum(), 1)
        style = {"linestyle": ":"} if name == "graphs" else {}
        axes.stairs(share, place, label=f"{name}: {whole:.1f} %", baseline=None, **style)
    axes.set(xlabel="batch", ylabel="real rows, %", ylim=(0, 104), xlim=(0, len(used)))
    axes.legend(loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
