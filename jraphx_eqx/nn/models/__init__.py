from ._basic import GAT as GAT
from ._basic import GCN as GCN
from ._basic import GIN as GIN
from ._basic import GraphSAGE as GraphSAGE
from ._gnn import AbstractGNN as AbstractGNN
from ._jumping_knowledge import JumpingKnowledge as JumpingKnowledge
from ._mlp import MLP as MLP
from ._sequential import GraphSequential as GraphSequential
