from jraphx_eqx.nn.models import GIN

from .._operator import Operator
from ..families.common import WIDTH
from ..families.model import model_variant, with_edges

OPERATOR = Operator(
    GIN,
    variants=(
        model_variant(
            "gin_model",
            GIN,
            with_edges,
            mixes=True,  # the norms inside the convolutions take all nodes for one graph
            in_features=WIDTH,
            hidden_features=2,
            num_layers=2,
            jk="lstm",
        ),
    ),
)
