from ._dense_conv import AbstractDenseConv as AbstractDenseConv
from ._gat import DenseGATConv as DenseGATConv
from ._gcn import DenseGCNConv as DenseGCNConv
from ._gin import DenseGINConv as DenseGINConv
from ._graph import DenseGraphConv as DenseGraphConv
from ._sage import DenseSAGEConv as DenseSAGEConv
