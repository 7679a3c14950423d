import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Data
from jraphx_eqx.loading import Budget, Loader, accuracy, graph_mean, mean_over

GRAPHS = [Data(np.full((1, 1), i, np.float32), np.zeros((2, 0), np.int32), y=i) for i in range(5)]
LOADER = Loader(GRAPHS, Budget(3, 0, 3, 1), shuffle=False)


def test_padding_does_not_count():
    _, last = LOADER
    assert last.graph_mask.tolist() == [True, True, False]
    values = jnp.array([1.0, 2.0, np.nan])
    assert float(graph_mean(values, last)) == 1.5
    gradient = jax.grad(lambda values: graph_mean(values, last))(values)
    np.testing.assert_array_equal(gradient, [0.5, 0.5, 0])
    assert graph_mean(values[:, None] * jnp.ones((1, 2)), last).tolist() == [1.5, 1.5]
    assert graph_mean(values.astype(jnp.bfloat16), last).dtype == jnp.bfloat16


def test_a_batch_of_padding_only_has_the_mean_0():
    *_, stacked = Loader(GRAPHS, Budget(3, 0, 3, 1), stack=3)
    empty = jax.tree.map(lambda array: array[2], stacked)
    assert float(graph_mean(jnp.ones(3), empty)) == 0


def test_accuracy_is_the_share_of_real_graphs():
    _, last = LOADER
    logits = jnp.array([[0.0, 0, 0, 9, 0], [9, 0, 0, 0, 0], [9, 0, 0, 0, 0]])
    assert last.y.tolist() == [3, 4, 0]
    assert float(accuracy(logits, last)) == 0.5


@pytest.mark.parametrize("stack", [None, 2])
def test_every_graph_counts_once_however_full_its_batch_is(stack):
    loader = Loader(GRAPHS, Budget(3, 0, 3, 1), stack=stack)
    means = mean_over(loader, lambda batch: {"y": batch.y, "even": batch.y % 2 == 0})
    assert means == {"y": 2.0, "even": 0.6}


def test_what_has_no_row_for_each_graph_is_refused():
    with pytest.raises(ValueError, match=r"a value for each of the 3 graphs.* got shape \(2,\)"):
        graph_mean(jnp.ones(2), next(iter(LOADER)))
    with pytest.raises(ValueError, match=r"a value for each of the 3 graphs.* got shape \(\)"):
        mean_over(LOADER, lambda batch: jnp.sum(batch.y))
    with pytest.raises(ValueError, match="at least one graph"):
        mean_over([], lambda batch: batch.y)
