from jraphx_eqx.nn.models import MLP

from .._operator import Operator
from ..families.common import WIDTH
from ..families.model import model_variant

OPERATOR = Operator(
    MLP,
    variants=(
        model_variant(
            "mlp", MLP, lambda mlp, inputs: mlp(inputs.x, inputs.batch), features=[WIDTH, 4, 2]
        ),
    ),
)
