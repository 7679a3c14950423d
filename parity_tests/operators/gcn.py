from jraphx_eqx.nn.models import GCN

from .._operator import Made, Operator
from ..families.common import WIDTH, our_layer, pyg_layer
from ..families.model import model_variant, with_edges

OPERATOR = Operator(
    GCN,
    variants=(
        model_variant(
            "gcn_model",
            GCN,
            with_edges,
            in_features=WIDTH,
            hidden_features=4,
            num_layers=2,
            norm=None,  # after which the gradient of a bias is nothing but rounding
            jk="cat",
        ),
    ),
    made=(
        Made(
            "GCN",
            our_layer(GCN, 8, 2, 10, norm="batch_norm", jk="cat"),
            pyg_layer("GCN", 8, 2, 10, norm="batch_norm", jk="cat"),
        ),
    ),
)
