"""From graphs to padded batches of one shape. It stands on `jraphx_eqx.data` alone."""

from ._budget import Budget as Budget
from ._budget import budget as budget
from ._digits import digits as digits
from ._folder import Folder as Folder
from ._folder import read_graph as read_graph
from ._folder import write_graph as write_graph
from ._jraph import from_jraph as from_jraph
from ._jraph import to_jraph as to_jraph
from ._keep_memory import keep_memory as keep_memory
from ._loader import Loader as Loader
from ._loader import LoaderState as LoaderState
from ._means import accuracy as accuracy
from ._means import graph_mean as graph_mean
from ._means import mean_over as mean_over
from ._networkx import from_networkx as from_networkx
from ._networkx import to_networkx as to_networkx
from ._tu import read_tu as read_tu
