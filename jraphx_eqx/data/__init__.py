from ._batch import Batch as Batch
from ._batch_vector import BatchVector as BatchVector
from ._batch_vector import bounded_batch as bounded_batch
from ._batch_vector import is_traced as is_traced
from ._batch_vector import resolve_batch as resolve_batch
from ._data import Data as Data
from ._edge_index import EdgeIndex as EdgeIndex
from ._edge_index import Neighbours as Neighbours
from ._edge_index import as_array as as_array
from ._export import register_serialization as register_serialization
from ._validate import validate as validate

register_serialization(BatchVector, "jraphx_eqx.BatchVector")
register_serialization(Data, "jraphx_eqx.Data")
register_serialization(Batch, "jraphx_eqx.Batch")
register_serialization(Neighbours, "jraphx_eqx.Neighbours")
register_serialization(EdgeIndex, "jraphx_eqx.EdgeIndex")
