import dataclasses

import jax

from jraphx_eqx.nn.pool import PANPooling
from jraphx_eqx.parity import Config

from .._operator import Operator, edits
from ..families import keep
from ..families.common import FEW_CLASSES, WIDTH, few_cases, undrawn
from ..families.keep import OUTPUTS, keep_spec, our_options, pyg_options

NUMBER = {"edges": 1}
GRID = (
    Config({"nonlinearity": "sin", "multiplier": 2.0}, NUMBER),
    Config({"ratio": None, "min_score": 0.2}, NUMBER),
)


class _Matrix:
    """What PANPooling asks of torch-sparse's matrices."""

    def __init__(self, edge_index, weight):
        self.entries = edge_index[1], edge_index[0], weight

    def coo(self):
        return self.entries


def _pyg(**options):
    import torch_geometric.nn

    return torch_geometric.nn.PANPooling(WIDTH, **pyg_options(options))


def _call_pyg(module, inputs):
    matrix = _Matrix(inputs["edge_index"], inputs["edge_attr"])
    return dict(zip(OUTPUTS, module(inputs["x"], matrix, inputs["batch"]), strict=True))


def _ours(**options):
    return undrawn(lambda: PANPooling(WIDTH, **our_options(options), key=jax.random.key(0)))


SPEC = dataclasses.replace(
    keep_spec(PANPooling, _pyg, _ours, GRID),
    call_pyg=_call_pyg,
    exact=lambda config: (),
    stages=(),  # scores take weights of edges, which those of the family do not
    input_classes=FEW_CLASSES,
)

OPERATOR = Operator(
    PANPooling,
    spec=SPEC,
    faults=(
        *edits(
            "nn.pool._pan:PANPooling.score",
            ("weights of targets", "edge_index[0], num_nodes)", "edge_index[1], num_nodes)"),
            ("factors change places", "self.beta[1] * walks", "self.beta[0] * walks"),
            ("weights are detached", "segment_sum(weight,", "segment_sum(DETACHED(weight),"),
            (
                "one softmax for all graphs",
                "self.select.score(score[:, None], batch)",
                "self.select.score(score[:, None], BatchVector(0 * batch.index, 1))",
                "min_score",
            ),
            (
                "the projection is detached",
                "masked_matmul(x, self.p,",
                "masked_matmul(x, DETACHED(self.p),",
            ),
        ),
    ),
    divergences=keep.DIVERGENCES,
    live=False,
    cases=few_cases,
    cost=6,
)
