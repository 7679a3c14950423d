from jraphx_eqx.nn.pool import DiffPooling

from .._operator import Operator, Variant
from ..families.common import WIDTH


def _build(dtype, key):
    return DiffPooling(WIDTH, 2, dtype=dtype, key=key)


def _call(pool, inputs):
    return pool(inputs.x, inputs.edge_index, inputs.edge_attr[:, 0], inputs.batch)


OPERATOR = Operator(
    DiffPooling,
    variants=(Variant("diff", _build, _call, "pool", mixes=True),),  # by its losses
)
