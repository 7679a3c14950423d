"""Our own references: on what they are recorded, where they are, and how they are replayed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jraphx_eqx.parity import Case, Result, check, graphs, lanes_of, record

from .catalogue import DIVERGENCES, FEATURES, OPERATORS, SPECS

FOLDER = Path(__file__).parent / "references"
LANES = ("exact", "f64", "f32")


def cases(name: str) -> list[Case]:
    """Of an operator: random and corner graphs, each configuration with some of both."""
    if (own := OPERATORS[name].cases) is not None:
        return own(0)
    random = [random_graphs(seed) for seed in range(18)]
    return [*random[:3], *graphs.corners(0, features=FEATURES), *random[3:]]


def random_graphs(seed: int) -> Case:
    """Six graphs of always the same number of nodes: configurations without a batch vector are not
    padded, and compile a program for each size."""
    rng = np.random.default_rng([seed, 11])
    sizes = rng.permutation([9, 4, 12, 1, 7, 5])
    return graphs.assemble(f"random:{seed}", rng, sizes, features=FEATURES)


def record_operator(
    name: str,
    *,
    bless: str | None = None,
    folder: Path = FOLDER,
    progress: Callable[[], None] = lambda: None,
) -> Path:
    """Records one operator. Needs PyTorch."""
    at = {"divergences": DIVERGENCES, "bless": bless, "progress": progress}
    return record(SPECS[name], cases(name), folder, **at)


def check_operator(
    name: str,
    *,
    lanes: tuple[str, ...] = LANES,
    folder: Path = FOLDER,
    quick: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Replays one operator, without PyTorch."""
    possible = [lane for lane in lanes if lane in lanes_of(SPECS[name])]
    at = {"divergences": DIVERGENCES, "complete": True, "quick": quick, "progress": progress}
    return check(SPECS[name], folder, lanes=possible, **at)
