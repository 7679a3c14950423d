"""Models made by the same options have the weights of PyG's, and compute the same.

`from_pyg` looks at what a model became. Here each side is made by its own constructor.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.data import BatchVector
from jraphx_eqx.interop import load_state_dict
from jraphx_eqx.nn import models

pytestmark = pytest.mark.usefixtures("quick_compile")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 4))
EDGES = np.array([[0, 1, 2, 3, 4, 5, 2, 6, 1, 3], [1, 2, 0, 4, 5, 3, 2, 5, 0, 3]])
BATCH = np.array([0, 0, 0, 1, 1, 1, 1])
OPTIONS = [
    ("GCN", {}),
    ("GCN", {"out_features": 6, "act": "elu", "act_first": True, "norm": "graph_norm"}),
    ("GCN", {"out_features": 3, "improved": True, "jk": "last", "bias": False}),
    ("GCN", {"jk": "cat", "act": "leaky_relu", "act_kwargs": {"negative_slope": 0.3}}),
    ("GraphSAGE", {"out_features": 3, "aggr": "max", "norm": "batch_norm"}),
    ("GraphSAGE", {"jk": "lstm", "project": True, "act": None}),
    ("GIN", {"train_eps": True, "norm": "batch_norm", "norm_kwargs": {"eps": 0.1}}),
    ("GIN", {"out_features": 3, "jk": "max", "act": "tanh", "act_first": True, "norm": None}),
    ("GAT", {"heads": 2}),
    ("GAT", {"heads": 2, "out_features": 6}),
    ("GAT", {"heads": 3, "out_features": 6, "jk": "cat", "norm": "layer_norm"}),
    ("GAT", {"heads": 2, "concat": False, "out_features": 3, "add_self_loops": False}),
]


@pytest.mark.parametrize("name, options", OPTIONS)
def test_a_model_made_by_the_same_options_has_the_same_weights_and_results(name, options):
    with torch.random.fork_rng(devices=[]), jax.enable_x64(True):
        torch.manual_seed(0)
        theirs = {"out_channels": options.get("out_features"), **options}
        theirs.pop("out_features", None)
        theirs = getattr(pyg, name)(4, 6, 3, **theirs).double().eval()
        ours = getattr(models, name)(4, 6, 3, **options, key=jax.random.key(0))
        ours = eqx.nn.inference_mode(load_state_dict(ours, theirs.state_dict()))
        expected = theirs(*map(torch.tensor, (X, EDGES)), batch=torch.tensor(BATCH), batch_size=2)
        batch = BatchVector(jnp.asarray(BATCH), 2)
        found = eqx.filter_jit(ours)(jnp.asarray(X), jnp.asarray(EDGES), batch=batch)
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
