"""Mistakes that the comparison must notice, in every operator of the catalogue.

Each is a change of one line of the package, for as long as it is tried. Every bug that is found
some other way belongs here as well.
"""

from . import (
    _conv_faults,
    _edge_faults,
    _edge_pool_faults,
    _norm_faults,
    _pool_faults,
    _reduction_faults,
    _unet_faults,
)
from ._fault import GAT, GCN, GRAPH

FAULTS = (
    *_reduction_faults.FAULTS,
    *_pool_faults.FAULTS,
    *_conv_faults.FAULTS,
    *_norm_faults.FAULTS,
    *_edge_faults.FAULTS,
    *_unet_faults.FAULTS,
    *_edge_pool_faults.FAULTS,
)

# Faults that no comparison can notice, and why. That all results are bit-equal is measured.
_PAST_THE_END = (
    "Padding edges point past the end, so what they carry is added outside and gets no gradient."
)
EQUIVALENT = {
    ("padding edges keep their attributes", GCN): _PAST_THE_END,
    ("padding edges keep their attributes", GRAPH): _PAST_THE_END,
    ("other initial weights", GCN): "PyG's weights are loaded before anything is compared. "
    "`test_initial.py` compares the initial ones.",
    ("slope at 0 is 1", GAT): "It takes attention logits of exactly 0, which no recorded case "
    "has. `tests/nn/test_activation.py` notices it.",
}
