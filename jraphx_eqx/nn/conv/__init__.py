from ._conv import AbstractConv as AbstractConv
from ._gat import GATConv as GATConv
from ._gcn import GCNConv as GCNConv
from ._gin import GINConv as GINConv
from ._graph import GraphConv as GraphConv
from ._le import LEConv as LEConv
from ._pan import PANConv as PANConv
from ._sage import SAGEConv as SAGEConv
