"""Poolings that are decided on the host, by hand, and beside what torch-geometric-pool gave."""

import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.data import Batch, BatchVector, Data
from jraphx_eqx.loading import Loader, budget
from jraphx_eqx.nn.pool import (
    DenseSelectOutput,
    EigenPooling,
    KMISPooling,
    NDPPooling,
    NMFPooling,
    SelectOutput,
    SEPPooling,
    TopKPooling,
    get_pooler,
    precoarsen,
    selections,
)

pytestmark = pytest.mark.usefixtures("quick_compile")

KEY = jax.random.key(0)
# A path of five nodes, among them, as node 2, the first of a pair; no graph 1; and padding.
X = jnp.array([[1.0], [2.0], [8.0], [3.0], [4.0], [5.0], [9.0], [jnp.nan]])
ENDS = np.array([[0, 1, 3, 4, 2], [1, 3, 4, 5, 6]])
EDGES = jnp.asarray(np.concatenate([ENDS, ENDS[::-1], [[8], [8]]], axis=1), jnp.int32)
WEIGHTS = jnp.asarray([*2 * [1.0, 1.0, 3.0, 1.0, 5.0], np.nan], jnp.float32)
BATCH = BatchVector(jnp.array([0, 0, 2, 0, 0, 0, 2, 3], jnp.int32), 3)


def matrix(*edges, nodes):
    """The adjacency matrix of edges in both directions, with weights 1."""
    out = np.zeros((nodes, nodes))
    for source, target in edges:
        out[source, target] = out[target, source] = 1
    return out


def test_ndp_by_hand():
    # The eigenvector is ± the root of the degrees 1, 2, 4, 4, 1. Of the two largest numbers the
    # first, of the third node of the path, is positive.
    out = NDPPooling()(X, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.perm, [0, 3, 5, 2, 8, 8, 8, 8])
    np.testing.assert_array_equal(out.x[:, 0], [1, 3, 5, 8, 0, 0, 0, 0])
    np.testing.assert_array_equal(out.batch.index, [0, 0, 0, 2, 3, 3, 3, 3])
    # Two edges, one after the other, become one of the weight a b / (a + b).
    trimmed = out.trim()
    np.testing.assert_array_equal(trimmed.edge_index, [[0, 1, 1, 2], [1, 0, 2, 1]])
    np.testing.assert_allclose(trimmed.edge_attr, [1 / 2, 1 / 2, 3 / 4, 3 / 4], rtol=1e-6)
    np.testing.assert_array_equal(trimmed.select.edges[0], trimmed.edge_index)
    np.testing.assert_array_equal(out.lift(out.x)[:, 0], [1, 0, 8, 3, 0, 5, 0, 0])
    less = NDPPooling(0.6)(X, EDGES, WEIGHTS, BATCH, max_nodes=4, max_edges=2)
    assert less.x.shape == (4, 1)
    np.testing.assert_array_equal(less.edge_index, [[1, 2], [2, 1]])


def test_ndp_where_the_eigenvector_cuts_little():
    # The pair has the largest eigenvalue, 2; that of the triangle is 3/2. One edge of four is cut.
    # Node by node: 0 is kept, 1 is not, 2 is, 3 is not, and 4 has one on either side.
    found = NDPPooling().columns(matrix((0, 1), (2, 3), (3, 4), (2, 4), nodes=5))
    np.testing.assert_array_equal(found["cluster"], [0, -1, 1, -1, 2])
    np.testing.assert_array_equal(found["edges"][:2, 0], [[1, 2], [2, 1]])
    np.testing.assert_allclose(found["edge_weight"][:2, 0], [1.5, 1.5])
    # Without edges all nodes are kept.
    np.testing.assert_array_equal(NDPPooling().columns(np.eye(3))["cluster"], [0, 1, 2])
    # From a thousand nodes on one eigenvector is found: of a star, whose middle has the largest
    # number.
    found = NDPPooling().columns(matrix(*[(7, node) for node in range(1000)], nodes=1000))
    np.testing.assert_array_equal(np.flatnonzero(found["cluster"] >= 0), [7])


def test_eigen_by_hand():
    # The heavy edge 3 to 4 of the path is in one cluster, and so are 0 and 1.
    pool, x = EigenPooling(2, 3), X
    path = BatchVector(jnp.where(BATCH.index == 0, 0, 1), 1)
    weights = WEIGHTS.at[jnp.array([0, 5])].set(3)
    out = pool(x, EDGES, weights, path)
    np.testing.assert_array_equal(out.select.matrix[:, 0], [1, 1, 0, 0, 0, 0, 0, 0])
    assert out.x.shape == (2, 3)
    # Of two nodes: the sum, the difference, and that again.
    np.testing.assert_allclose(out.x[0] * 2**0.5, [1 + 2, 1 - 2, 1 - 2], rtol=1e-6)
    # Of three: by the root of the degrees 3, 4, 1, then ± by that of the ends, and so on.
    np.testing.assert_allclose(out.x[1, 0] * 8**0.5, 3 * 3**0.5 + 4 * 2 + 5, rtol=1e-6)
    np.testing.assert_array_equal(out.edge_index, [[0, 1], [1, 0]])
    np.testing.assert_allclose(out.edge_attr, [1, 1], rtol=1e-6)
    # As many modes as nodes hold all that there was.
    whole = EigenPooling(1, 5)(x, EDGES, weights, path)
    lifted = whole.lift(whole.x)
    np.testing.assert_allclose(lifted[:, 0], [1, 2, 0, 3, 4, 5, 0, 0], rtol=1e-5, atol=1e-6)


def test_nodes_alone_keep_their_features_unlike_in_torch_geometric_pool():
    out = EigenPooling(2, 3)(X, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.x[4:, 0], [8, 9])
    assert not np.any(THEIRS["eigen/out/x"][2])


def test_nmf_by_hand():
    # The pair has a cluster for each node, and none for the third.
    out = NMFPooling(3)(X, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.x[6:, 0], [8, 9, 0])
    np.testing.assert_allclose(out.edge_attr.reshape(3, 6)[2], [1, 0, 1, 0, 0, 0])
    np.testing.assert_allclose(jnp.sum(out.select.matrix, axis=1), [*7 * [1], 0], rtol=1e-6)
    assert NMFPooling(1)(X, EDGES, WEIGHTS, BATCH).x.ravel().tolist() == [15, 0, 17]
    # Two cliques have one factor each.
    cliques = np.kron(np.eye(2), np.ones((3, 3)))
    found = NMFPooling(2).columns(cliques)["matrix"].argmax(axis=1)
    np.testing.assert_array_equal(found, found[[0, 0, 0, 3, 3, 3]])
    assert found[0] != found[3]


def test_sep_by_hand():
    # Of the path 0 and 1 are merged first, then the heavy edge, and 5 to that; but between the root
    # and the heavy edge this last one is left out. A pair is not merged.
    pool = SEPPooling()
    out = pool(X, EDGES, WEIGHTS, BATCH)
    np.testing.assert_array_equal(out.select.labels, [0, 0, 3, 1, 1, 2, 4, 8])
    np.testing.assert_array_equal(out.x[:, 0], [3, 7, 5, 8, 9, 0, 0, 0])
    trimmed = out.trim()
    np.testing.assert_array_equal(trimmed.edge_index, [[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
    np.testing.assert_allclose(trimmed.edge_attr, [*4 * [2**-0.5], 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(pool.lift(out.x, out.select)[:, 0], [3, 3, 8, 7, 7, 5, 9, 0])
    # Without weights the two edges between the first clusters count as one; with them they add up.
    edges = jnp.array([[0, 1, 3], [2, 3, 4]], jnp.int32)
    edges = jnp.concatenate([edges, edges[::-1]], axis=1)
    nodes, cluster = jnp.arange(5, dtype=jnp.int32), jnp.array([0, 0, 1, 1, 2], jnp.int32)
    select = SelectOutput(nodes, cluster, jnp.ones(5), num_nodes=5, num_clusters=3)
    plain, weighed = (pool(X[:5], edges, w, select=select) for w in (None, jnp.ones(6)))
    np.testing.assert_allclose(plain.edge_attr[:4], 4 * [2**-0.5], rtol=1e-6)
    expected = [2 / 6**0.5, 2 / 6**0.5, 1 / 3**0.5, 1 / 3**0.5]
    np.testing.assert_allclose(weighed.edge_attr[:4], expected, rtol=1e-6)


POOLINGS = {
    "ndp": NDPPooling(),
    "eigen": EigenPooling(2, 2),
    "nmf": NMFPooling(2),
    "sep": SEPPooling(),
}


@pytest.mark.parametrize("name", POOLINGS)
def test_a_selection_is_made_outside_of_a_program_and_used_inside(name):
    pool, more = POOLINGS[name], jnp.array([0, 1], jnp.int32)
    assert type(get_pooler(name, **({} if name in ("ndp", "sep") else {"clusters": 2}))) is type(
        pool
    )
    out = pool(X, EDGES, WEIGHTS, BATCH)

    @eqx.filter_jit
    def program(x, weight, select):
        def loss(given):
            out = pool(given[0], EDGES, given[1], BATCH, select=select)
            total = jnp.sum(jnp.sin(out.x)) + jnp.sum(jnp.sin(out.edge_attr))
            return total + jnp.sum(jnp.tanh(pool.lift(out.x, out.select))), out

        return eqx.filter_grad(loss, has_aux=True)((x, weight))

    (x, weight), same = program(X, WEIGHTS, out.select)
    for ours, other in zip(jax.tree.leaves(out), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-5)
    assert np.all(np.isfinite(x)) and np.all(np.isfinite(weight))
    assert np.any(x[:7]) and not np.any(x[7]) and weight[-1] == 0
    refused = f"{type(pool).__name__} decides on the host, by edges that have values.* precoarsen"
    with pytest.raises(ValueError, match=refused):
        program(X, WEIGHTS, None)
    with pytest.raises(ValueError, match="select must be a selection"):
        pool(X, EDGES, WEIGHTS, BATCH, select=more)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: NDPPooling(-1), "threshold must not be negative, got -1"),
        (lambda: NDPPooling()(X, EDGES, -WEIGHTS, BATCH), "must not hold negative weights"),
        (lambda: NDPPooling()(X, EDGES, WEIGHTS[:, None, None], BATCH), "edge_attr must hold one"),
        (
            lambda: NDPPooling()(X, EDGES, select=TopKPooling(1, key=KEY)(X, EDGES).select),
            "select must have edges, as those that NDPPooling makes",
        ),
        (lambda: EigenPooling(0), "clusters must be at least 1, got 0"),
        (lambda: EigenPooling(2, 0), "num_modes must be at least 1, got 0"),
        (
            lambda: EigenPooling(2)(X, EDGES, select=NMFPooling(2)(X, EDGES[:, :9]).select),
            "select must have modes, as those that EigenPooling makes",
        ),
        (
            lambda: EigenPooling(2, 2).lift(
                X[:6], EigenPooling(2, 2)(X, EDGES, None, BATCH).select
            ),
            "x must have features for each of the 2 modes, got 1",
        ),
        (lambda: SEPPooling()(X, EDGES, -WEIGHTS, BATCH), "must not hold negative weights"),
        (lambda: NMFPooling(0), "clusters must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("pool", [NDPPooling(), EigenPooling(2), NMFPooling(2), SEPPooling()])
def test_edges_between_graphs_and_weights_that_are_not_finite_are_refused(pool):
    edges, batch = jnp.array([[0, 1], [1, 2]]), jnp.array([0, 0, 1])
    with pytest.raises(ValueError, match=r"edge_index must not join .* an edge of \[1, 2\]"):
        pool(X[:3], edges, batch=batch)
    with pytest.raises(ValueError, match="edge_attr must hold finite weights"):
        pool(X[:3], edges, jnp.array([1, jnp.nan]))


def test_many_nodes_without_edges_all_stay():
    out = NDPPooling()(jnp.ones((1000, 1)), jnp.zeros((2, 0), jnp.int32))
    assert out.num_kept == 1000


def test_graphs_without_nodes_or_edges():
    nothing = X[:0], EDGES[:, :0], None, BatchVector(BATCH.index[:0], 1)
    assert NDPPooling()(*nothing).x.shape == (0, 1)
    assert EigenPooling(2, 3)(*nothing).x.shape == (2, 3)
    # Eigenvectors of no edges are single nodes.
    alone = EigenPooling(2, 1)(X[:3], EDGES[:, :0])
    assert alone.x.ravel().tolist() == [1, 2]


def path(nodes, weight=None):
    ends = np.stack([np.arange(nodes - 1), np.arange(1, nodes)])
    edges = np.concatenate([ends, ends[::-1]], axis=1).astype(np.int32)
    rows = np.arange(nodes, dtype=np.float32)[:, None] + 1
    weights = None if weight is None else np.full((2 * nodes - 2, 1), weight, np.float32)
    return Data(rows, edges, weights, y=np.float32(nodes))


def test_selections_that_were_made_before_training_are_those_of_a_call():
    poolings = [NDPPooling(), EigenPooling(3, 2), NDPPooling()]
    graphs = precoarsen([path(nodes) for nodes in (5, 1, 9, 4, 6, 7)], poolings)
    traces = []

    def levels(batch, selects):
        x, edges, weight, vector = batch.x, batch.edge_index, None, batch.batch
        for pool, select in zip(poolings, selects, strict=True):
            out = pool(x, edges, weight, vector, select=select)
            yield out
            x, edges, weight, vector = out.x, out.edge_index, out.edge_attr, out.batch

    @eqx.filter_jit
    def step(weight, batch):
        traces.append(1)

        def loss(weight):
            outs = list(
                levels(eqx.tree_at(lambda b: b.x, batch, batch.x * weight), selections(batch))
            )
            return sum(jnp.sum(jnp.sin(out.x)) for out in outs), outs

        gradient, outs = eqx.filter_grad(loss, has_aux=True)(weight)
        return weight - 0.1 * gradient, outs

    weight = jnp.ones(())
    batches = list(Loader(graphs, budget(graphs, 3), shuffle=False))
    for batch in batches:
        before, (weight, outs) = weight, step(weight, batch)
        scaled = eqx.tree_at(lambda b: b.x, batch, batch.x * before)
        for ours, eager in zip(outs, levels(scaled, [None] * 3), strict=True):
            ours, eager = ours.trim(), eager.trim()
            np.testing.assert_allclose(ours.x, eager.x, rtol=1e-5, atol=1e-5)
            np.testing.assert_array_equal(ours.batch.index, eager.batch.index)
            np.testing.assert_array_equal(ours.edge_index, eager.edge_index)
            np.testing.assert_allclose(ours.edge_attr, eager.edge_attr, rtol=1e-5, atol=1e-5)
    assert len(batches) > 1 and len(traces) == 1 and jnp.isfinite(weight)


def test_precoarsening_knows_weights_keeps_other_extras_and_bounds_rooms():
    extras = {"node": {"level1_cluster": np.zeros(5), "own": np.ones(5)}, "graph": {"b": 2.0}}
    first = eqx.tree_at(lambda data: data.extras, path(5, 2.0), path(5).extras | extras)
    pre = precoarsen([first], KMISPooling(scorer="degree", sum_features=False))
    batch = Batch.from_data_list(pre).pad(8, 10, 2)
    found = {"level1_cluster", "level1_weight", "level1_kept"}
    assert set(batch.extras["node"]) == {*found, "own"}
    assert set(batch.extras["graph"]) == {"b"}
    # The degree 4 of the three nodes inside, divided by 3 walks, comes before 2 divided by 2.
    [select] = selections(batch, max_nodes=[3])
    np.testing.assert_array_equal(select.labels, [0, 0, 0, 1, 1, 3, 3, 3])
    np.testing.assert_array_equal(select.own.weight, [2, 4, 4, 4, 2, 0, 0, 0])
    np.testing.assert_array_equal(select.reduce(batch.x)[:, 0], [4 * 2, 4 * 4, 0])
    assert select.num_clusters == 3 and not select.overflow
    # An attribute of several numbers is no weight.
    wide = eqx.tree_at(lambda data: data.edge_attr, first, np.ones((8, 2), np.float32))
    for graph, weight in ((first, 1), (wide, 0.5)):
        [found] = precoarsen([graph], NDPPooling())
        assert found.extras["node"]["level1_edge_weight"].max() == weight


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: precoarsen([], NDPPooling()), "graphs must hold one at least, got none"),
        (lambda: precoarsen([path(3)], []), "poolings must hold one at least, got none"),
        (
            lambda: precoarsen([path(3)], TopKPooling(1, key=KEY)),
            "poolings must be decided on the host, or be a GraclusPooling, .* got TopKPooling",
        ),
        (
            lambda: precoarsen([path(3)], KMISPooling(scorer="random")),
            "poolings must be decided on the host, or .* got KMISPooling",
        ),
        (
            lambda: precoarsen([path(3)], KMISPooling(scorer="canonical")),
            "poolings must be decided on the host, or .* got KMISPooling",
        ),
        (
            lambda: selections(Batch.from_data_list([path(3)])),
            "batch must be of graphs that precoarsen has made",
        ),
        (
            lambda: selections(
                Batch.from_data_list(precoarsen([path(3)], NDPPooling())), max_nodes=[3, 2]
            ),
            "max_nodes must hold a number for each of the 1 levels, got 2",
        ),
    ],
)
def test_bad_inputs_of_precoarsening_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


THEIRS = dict(np.load(pathlib.Path(__file__).parent / "tgp.npz"))
HOUSE = np.s_[:5]
OURS = {
    "ndp": NDPPooling(),
    "eigen": EigenPooling(2, 3),
    "eigen plain": EigenPooling(3, 2, normalized=False),
    "nmf": NMFPooling(3),
    "sep": SEPPooling(),
}


def house():
    """The adjacency matrix of the first graph."""
    edges, weight = THEIRS["input/edge_index"], THEIRS["input/weight"]
    out = np.zeros((5, 5))
    inside = np.all(edges < 5, axis=0)
    out[tuple(edges[:, inside])] = weight[inside]
    return out


def their_selection(name, batch):
    """What they decided, in our form."""
    if name in ("ndp", "sep"):
        return None
    matrix, modes = THEIRS[f"{name}/select/s"], None
    if (theta := THEIRS.get(f"{name}/select/theta")) is not None:
        label = matrix.argmax(axis=1)
        modes = theta.reshape(len(matrix), -1, matrix.shape[1])[np.arange(len(matrix)), :, label]
        modes = jnp.asarray(modes)
    return DenseSelectOutput(jnp.asarray(matrix), batch, modes=modes)


@pytest.mark.parametrize("name", OURS)
def test_values_and_gradients_are_those_of_torch_geometric_pool(name):
    with jax.enable_x64(True):
        pool = OURS[name]
        x, edges, weight, index = (
            jnp.asarray(THEIRS[f"input/{key}"]) for key in ("x", "edge_index", "weight", "batch")
        )
        batch = BatchVector(index, 3)
        select = their_selection(name, batch) or pool(x, edges, weight, batch).select

        @eqx.filter_jit
        def program(x, weight, select):
            def loss(given):
                out = pool(given[0], edges, given[1], batch, select=select)
                return jnp.sum(jnp.sin(out.x)) + jnp.sum(jnp.sin(out.edge_attr)), out

            return eqx.filter_grad(loss, has_aux=True)((x, weight))

        (grad_x, grad_weight), out = program(x, weight, select)
        expected = {key: THEIRS[f"{name}/{key}"] for key in ("out/x", "out/weight", "grad/x")}
        if isinstance(select, SelectOutput):
            out = out.trim()
            select = out.select
            np.testing.assert_array_equal(select.node_index, THEIRS[f"{name}/select/node"])
            np.testing.assert_array_equal(select.cluster_index, THEIRS[f"{name}/out/cluster"])
            np.testing.assert_array_equal(out.edge_index, THEIRS[f"{name}/out/edge_index"])
            np.testing.assert_array_equal(out.batch.index, THEIRS[f"{name}/out/batch"])
        else:
            apart = ~np.eye(pool.clusters, dtype=bool)
            expected["out/weight"] = expected["out/weight"][:, apart].ravel()
            expected["out/x"] = expected["out/x"].reshape(out.x.shape)
        # Their Laplacians are float32.
        close = {"rtol": 1e-6, "atol": 1e-6}
        np.testing.assert_allclose(out.x, expected["out/x"], **close)
        np.testing.assert_allclose(out.edge_attr, expected["out/weight"], **close)
        np.testing.assert_allclose(grad_x, expected["grad/x"], **close)
        np.testing.assert_allclose(grad_weight, THEIRS.get(f"{name}/grad/weight", 0), **close)


@pytest.mark.parametrize("name", ["eigen", "eigen plain", "nmf"])
def test_what_is_decided_about_a_house_is_what_they_decided(name):
    found, matrix = OURS[name].columns(house()), THEIRS[f"{name}/select/s"][HOUSE]
    if name == "nmf":  # It began with the same random numbers.
        np.testing.assert_allclose(found["matrix"], matrix, rtol=1e-6)
        return
    own, theirs = found["matrix"].argmax(axis=1), matrix.argmax(axis=1)
    np.testing.assert_array_equal(own[:, None] == own, theirs[:, None] == theirs)
    theta = THEIRS[f"{name}/select/theta"][HOUSE].reshape(5, -1, matrix.shape[1])
    modes = theta[np.arange(5), :, theirs]
    several = np.sum(theirs[:, None] == theirs, axis=1) > 1
    np.testing.assert_allclose(found["modes"][several], modes[several], rtol=1e-6)
    np.testing.assert_array_equal(found["modes"][~several], 1)
