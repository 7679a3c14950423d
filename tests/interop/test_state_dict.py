import os
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jraphx_eqx.interop import from_pyg, load_state_dict, state_dict
from jraphx_eqx.nn.conv import GATConv, GCNConv, GraphConv, SAGEConv
from jraphx_eqx.nn.pool import SAGPooling, TopKPooling

KEY = jax.random.key(0)


class Network(eqx.Module):
    convs: list
    pools: dict
    head: eqx.nn.Sequential
    scale: jax.Array | None
    depth: int = eqx.field(static=True)


def network(seed=0, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(seed), 5)
    return Network(
        convs=[GCNConv(3, 4, dtype=dtype, key=keys[0]), GraphConv(4, 4, dtype=dtype, key=keys[1])],
        pools={"first": TopKPooling(4, dtype=dtype, key=keys[2])},
        head=eqx.nn.Sequential(
            [
                eqx.nn.Linear(4, 4, dtype=dtype, key=keys[3]),
                eqx.nn.Lambda(jax.nn.relu),
                eqx.nn.Linear(4, 2, use_bias=False, dtype=dtype, key=keys[4]),
            ]
        ),
        scale=None,
        depth=2,
    )


NAMES = {
    "convs.0.lin.weight": (4, 3),
    "convs.0.bias": (4,),
    "convs.1.lin_rel.weight": (4, 4),
    "convs.1.lin_rel.bias": (4,),
    "convs.1.lin_root.weight": (4, 4),
    "pools.first.select.weight": (1, 4),
    "head.0.weight": (4, 4),
    "head.0.bias": (4,),
    "head.2.weight": (2, 4),
}


def test_names_are_paths_with_lists_dicts_and_sequential_as_in_pytorch():
    assert {name: array.shape for name, array in state_dict(network()).items()} == NAMES


@pytest.mark.parametrize(
    "layer, shapes",
    [
        (GCNConv(3, 2, key=KEY), {"lin.weight": (2, 3), "bias": (2,)}),
        (GCNConv(3, 2, bias=False, key=KEY), {"lin.weight": (2, 3)}),
        (
            GATConv(3, 2, heads=2, edge_dim=5, residual=True, key=KEY),
            {
                "lin.weight": (4, 3),
                "att_src": (1, 2, 2),
                "att_dst": (1, 2, 2),
                "lin_edge.weight": (4, 5),
                "att_edge": (1, 2, 2),
                "res.weight": (4, 3),
                "bias": (4,),
            },
        ),
        (
            SAGEConv(3, 2, project=True, key=KEY),
            {
                "lin.weight": (3, 3),
                "lin.bias": (3,),
                "lin_l.weight": (2, 3),
                "lin_l.bias": (2,),
                "lin_r.weight": (2, 3),
            },
        ),
        (
            SAGPooling(3, gnn="graph", key=KEY),
            {
                "gnn.lin_rel.weight": (1, 3),
                "gnn.lin_rel.bias": (1,),
                "gnn.lin_root.weight": (1, 3),
                "select.weight": (1, 1),
            },
        ),
    ],
)
def test_layers_have_the_names_and_shapes_of_pyg_whatever_their_options(layer, shapes):
    assert {name: array.shape for name, array in state_dict(layer).items()} == shapes


def test_arrays_are_the_leaves_themselves():
    layer = GCNConv(3, 2, key=KEY)
    assert state_dict(layer)["lin.weight"] is layer.lin.weight


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_loading_a_state_dict_brings_every_bit_and_keeps_the_rest(dtype):
    source, target = network(1, dtype), network(2, dtype)
    loaded = load_state_dict(target, state_dict(source))
    assert bool(eqx.tree_equal(loaded, source))
    assert not bool(eqx.tree_equal(loaded, target))
    assert loaded.depth == 2 and loaded.scale is None


def test_nan_payloads_and_negative_zeros_arrive():
    bits = np.array([0x7FC00001, 0x80000000, 0xFFC00000], np.uint32)
    layer = {"weight": jnp.zeros(3, jnp.float32)}
    loaded = load_state_dict(layer, {"weight": bits.view(np.float32)})["weight"]
    np.testing.assert_array_equal(np.asarray(loaded).view(np.uint32), bits)


def test_loading_does_not_change_the_module_nor_share_the_memory_of_the_mapping():
    layer = GCNConv(2, 1, bias=False, key=KEY)
    before = np.array(layer.lin.weight)
    value = np.array([[1.0, 2.0]], np.float32)
    loaded = load_state_dict(layer, {"lin.weight": value})
    value[:] = 7
    np.testing.assert_array_equal(loaded.lin.weight, [[1.0, 2.0]])
    np.testing.assert_array_equal(layer.lin.weight, before)


def test_numpy_leaves_stay_numpy_and_keep_float64():
    loaded = load_state_dict({"mean": np.zeros(2)}, {"mean": np.array([0.1, 0.2])})
    assert isinstance(loaded["mean"], np.ndarray) and loaded["mean"].dtype == np.float64
    np.testing.assert_array_equal(loaded["mean"], [0.1, 0.2])


def test_a_network_without_arrays_loads_an_empty_mapping():
    assert load_state_dict(eqx.nn.Lambda(jax.nn.relu), {}).fn is jax.nn.relu


def test_all_problems_are_listed_at_once_with_similar_names():
    weights = state_dict(network())
    weights["convs.0.linear.weight"] = weights.pop("convs.0.lin.weight")
    weights["convs.1.lin_rel.weight"] = np.zeros((2, 4), np.float32)
    weights["head.0.bias"] = np.zeros(4, np.float64)
    weights["head.0.weight"] = 3.0
    weights["head.2.weight"] = np.zeros((4, 2), np.float32)
    weights["zzz"] = np.zeros(1)
    with pytest.raises(ValueError, match="the state dict does not fit Network") as caught:
        load_state_dict(network(), weights)
    lines = str(caught.value).split("\n  - ")[1:]
    assert set(lines) == {
        "missing: 'convs.0.lin.weight' (similar: 'convs.0.linear.weight')",
        "unexpected: 'convs.0.linear.weight' (similar: 'convs.0.lin.weight')",
        "unexpected: 'zzz'",
        "'convs.1.lin_rel.weight' must have shape (4, 4), got (2, 4)",
        "'head.0.bias' must have dtype float32, got float64; make the module with dtype=float64, "
        "or cast the values yourself (JAX has float64 only with jax_enable_x64)",
        "'head.0.weight' must be an array or a tensor, got float",
        "'head.2.weight' must have shape (2, 4), got (4, 2); it looks transposed",
    }
    assert len(lines) == 7


def test_an_integer_that_does_not_fit_into_32_bits_is_refused():
    count = {"count": jnp.zeros((), jnp.int32)}
    loaded = load_state_dict(count, {"count": np.array(2**31 - 1)})["count"]
    assert loaded.dtype == jnp.int32 and loaded == 2**31 - 1
    for value in (2**31, 2**33 + 5, -(2**31) - 1):
        with pytest.raises(ValueError, match="'count' must have dtype int32, got int64"):
            load_state_dict(count, {"count": np.array(value)})


def test_integers_of_64_bits_arrive_where_they_are_switched_on(x64):
    count = {"count": jnp.zeros((), jnp.int64)}
    assert load_state_dict(count, {"count": np.array(2**33 + 5)})["count"] == 2**33 + 5


def test_float32_does_not_go_into_a_float64_module(x64):
    layer = GCNConv(3, 2, dtype=jnp.float64, key=KEY)
    weights = state_dict(GCNConv(3, 2, dtype=jnp.float32, key=KEY))
    with pytest.raises(ValueError, match=r"'bias' must have dtype float64, got float32; make"):
        load_state_dict(layer, weights)


def test_a_bias_that_one_side_lacks_is_missing_or_unexpected():
    with_bias = GCNConv(3, 2, key=KEY)
    without = GCNConv(3, 2, bias=False, key=KEY)
    with pytest.raises(ValueError, match="missing: 'bias'"):
        load_state_dict(with_bias, state_dict(without))
    with pytest.raises(ValueError, match="unexpected: 'bias'"):
        load_state_dict(without, state_dict(with_bias))


def test_two_arrays_of_one_name_are_refused():
    tree = {"a": {"b": jnp.zeros(1)}, "a.b": jnp.ones(1)}
    with pytest.raises(ValueError, match=r"several arrays have the name a\.b"):
        state_dict(tree)


def test_loading_works_under_jit():
    layer = GCNConv(2, 1, bias=False, key=KEY)

    @eqx.filter_jit
    def weight(layer, value):
        return load_state_dict(layer, {"lin.weight": 2 * value}).lin.weight

    np.testing.assert_array_equal(weight(layer, jnp.array([[1.0, 2.0]])), [[2.0, 4.0]])


def test_what_pyg_never_made_is_refused_without_importing_torch():
    with pytest.raises(
        TypeError, match=r"from_pyg cannot convert .*GCNConv.*it converts .*torch_ge"
    ):
        from_pyg(GCNConv(3, 2, key=KEY))


def test_neither_the_package_nor_state_dicts_import_torch():
    program = """
        import sys
        import jax
        import jraphx_eqx
        from jraphx_eqx.nn.conv import GCNConv

        layer = GCNConv(3, 2, key=jax.random.key(0))
        weights = jraphx_eqx.interop.state_dict(layer)
        jraphx_eqx.interop.load_state_dict(layer, weights)
        try:
            jraphx_eqx.interop.from_pyg(layer)
        except TypeError:
            pass
        print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "torch_geometric"}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
