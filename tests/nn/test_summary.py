import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from jraphx_eqx import nn
from jraphx_eqx.data import BatchVector
from jraphx_eqx.nn import summary
from jraphx_eqx.nn.conv import GraphConv
from jraphx_eqx.nn.models import GraphUNet
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling, global_mean_pool

KEYS = jax.random.split(jax.random.key(0), 5)
X, EDGES = jnp.ones((8, 3)), jnp.zeros((2, 10), jnp.int32)
BATCH = BatchVector(jnp.array([0, 0, 0, 0, 1, 1, 1, 2], jnp.int32), 2)


class Network(eqx.Module):
    convs: list[GraphConv]
    pools: list[eqx.Module]
    act: eqx.nn.Lambda
    scale: jax.Array
    head: nn.Linear
    mean: jax.Array
    untrained = ("mean",)

    def __call__(self, x, edge_index, batch):
        for conv, pool in zip(self.convs, self.pools, strict=True):
            x = self.act(conv(x, edge_index))
            x, edge_index, _, batch, _ = pool(x, edge_index, batch=batch)
        return self.head(global_mean_pool(x, batch)) * self.scale - self.mean


NETWORK = Network(
    [GraphConv(3, 4, key=KEYS[0]), GraphConv(4, 4, key=KEYS[1])],
    [TopKPooling(4, key=KEYS[2]), SAGPooling(4, ratio=1, key=KEYS[3])],
    eqx.nn.Lambda(jax.nn.relu),
    jnp.ones(5),
    nn.Linear(4, 5, key=KEYS[4]),
    jnp.zeros(5),
)
TABLE = """
layer     class        parameters  output
convs[0]  GraphConv            28  (8, 4)
convs[1]  GraphConv            36  (6, 4)
pools[0]  TopKPooling           4  6 nodes, 10 edges, 2 graphs
pools[1]  SAGPooling            5  2 nodes, 10 edges, 2 graphs
act       Lambda                0  (6, 4)
scale     Array                 5
head      Linear               25  (2, 5)
all                           103
"""


def test_layers_parameters_and_rooms_are_in_a_table():
    found = summary(NETWORK, X, EDGES, batch=BATCH)
    assert str(found) == TABLE.strip()
    assert found.parameters == 103
    assert found[2] == ("pools[0]", "TopKPooling", 4, "6 nodes, 10 edges, 2 graphs")


def test_shapes_are_enough_and_without_any_there_are_no_outputs():
    shapes = jax.eval_shape(lambda: (X, EDGES, BATCH))
    assert summary(NETWORK, *shapes) == summary(NETWORK, X, EDGES, BATCH)
    bare = summary(NETWORK)
    assert [layer[:3] for layer in bare] == [layer[:3] for layer in summary(NETWORK, *shapes)]
    assert not any(layer.output for layer in bare)


def test_a_pooling_alone_has_its_room():
    [found] = summary(NETWORK.pools[0], jnp.ones((8, 4)), EDGES, batch=BATCH)
    assert found == ("", "TopKPooling", 4, "6 nodes, 10 edges, 2 graphs")


def test_layers_that_hold_poolings_are_taken_apart():
    unet = GraphUNet(3, 4, 2, depth=1, key=KEYS[0])
    found = {layer.name: layer for layer in summary(unet, X, EDGES, BATCH)}
    assert found["pools[0]"].parameters == 4
    assert found["down_convs[1]"].output == "(6, 4)" and found["up_convs[0]"].output == "(8, 2)"


def test_an_error_of_the_model_is_the_models_own():
    with pytest.raises(ValueError, match="x must have 3 features"):
        summary(NETWORK, X[:, :2], EDGES, BATCH)
