"""A pooling alone: its choice is compared by the margin of the scores, then forced on both sides,
so that equal and nearly equal scores do not make what follows incomparable."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import BatchVector
from ..nn.pool import AbstractKeepPool
from ..parity import Decision, watch_topk

_X, _EDGE_INDEX, _EDGE_ATTR, _BATCH, _ATTN = range(5)


def with_batch(given: list[Any]) -> list[Any]:
    """The arguments of a pooling with a batch vector: without one, all nodes are one graph."""
    given = given + [None] * (_BATCH + 1 - len(given))
    if given[_BATCH] is None:
        given[_BATCH] = np.zeros(len(given[_X]), np.int64)
    return given


def decision_of(ours: Any, names: list[str], num_graphs: int) -> Decision | None:
    """The choice that a pooling makes; `None` for what is none."""
    if not isinstance(ours, AbstractKeepPool):
        return None
    min_score = ours.select.min_score

    def score(module, inputs):
        return _score(module, [inputs[name] for name in names], num_graphs)

    def select(module, scores, inputs):
        return module.select(scores, BatchVector(inputs[names[_BATCH]], num_graphs)).node_index

    def pad(chosen, inputs, capacity):
        # A pooling with another ratio may have no room for what the other keeps.
        padded = np.full(max(capacity, len(chosen)), len(inputs[names[_X]]), np.int32)
        padded[: len(chosen)] = chosen
        return padded

    def threshold(scores, groups):
        highest = np.full(groups.max(initial=0) + 1, -np.inf, scores.dtype)
        np.maximum.at(highest, groups, scores)
        tol = scores.dtype.type(1e-7)
        return np.minimum(highest[groups] - tol, scores.dtype.type(min_score))

    return Decision(
        kind="topk" if min_score is None else "threshold",
        index="perm",
        groups=names[_BATCH],
        watch_pyg=watch_topk,
        score_eqx=score,
        select_eqx=select,
        pad=pad,
        threshold=None if min_score is None else threshold,
        ties=True,  # of dead units, for instance
    )


def pooled(
    module: AbstractKeepPool,
    given: list[Any],
    decide: Callable[[Any], Any],
    num_graphs: int,
) -> dict[str, Any]:
    """What a pooling returns if `decide` has the last word on the nodes that it keeps."""
    given = list(given)
    given[_BATCH] = BatchVector(given[_BATCH], num_graphs)
    out = module(*given, select=decide)
    return {
        "x": out.x,
        "edge_index": out.edge_index,
        "edge_attr": out.edge_attr,
        "batch": out.batch.index,
        "perm": out.perm,
        "score": out.score,
    }


def _score(module, given, num_graphs):
    attn = given[_ATTN] if len(given) > _ATTN else None
    x = given[_X] if attn is None else attn
    return module.score(x, given[_EDGE_INDEX], BatchVector(given[_BATCH], num_graphs))
