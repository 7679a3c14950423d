from ._batch_norm import BatchNorm as BatchNorm
from ._batch_norm import BatchNorm1d as BatchNorm1d
from ._graph_norm import GraphNorm as GraphNorm
from ._layer_norm import LayerNorm as LayerNorm
from ._norm import AbstractNorm as AbstractNorm
from ._statistics import call_and_update as call_and_update
