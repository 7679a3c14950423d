"""What training frameworks put before the names of weights is left out, and said."""

import re
import warnings

import equinox as eqx
import jax
import numpy as np
import pytest

from jraphx_eqx.interop import load_state_dict, state_dict
from jraphx_eqx.nn.conv import GATConv, GCNConv
from jraphx_eqx.nn.norm import BatchNorm


class Net(eqx.Module):
    conv: GCNConv
    norm: BatchNorm
    lin: eqx.nn.Linear


class Wrapped(eqx.Module):
    model: Net


def net(seed=0):
    keys = jax.random.split(jax.random.key(seed))
    return Net(GCNConv(3, 4, key=keys[0]), BatchNorm(4), eqx.nn.Linear(4, 2, key=keys[1]))


def loaded(state, network=None):
    """The network with the state, and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = load_state_dict(net(1) if network is None else network, state)
    notes = [line for one in caught for line in str(one.message).split("\n  - ")[1:]]
    return out, notes


def prefixed(prefix, state=None):
    return {prefix + name: value for name, value in (state or state_dict(net())).items()}


WITHOUT = "the names are those of the checkpoint without"


@pytest.mark.parametrize(
    "prefix, notes",
    [
        ("module.", [f"{WITHOUT} 'module.'"]),
        ("model.", [f"{WITHOUT} 'model.'"]),
        ("anything.at.all.", [f"{WITHOUT} 'anything.at.all.'"]),
        ("_orig_mod.", [f"{WITHOUT} '_orig_mod.' of torch.compile"]),
        ("module._orig_mod.", [f"{WITHOUT} '_orig_mod.' of torch.compile", f"{WITHOUT} 'module.'"]),
        ("_orig_mod.module.", [f"{WITHOUT} '_orig_mod.' of torch.compile", f"{WITHOUT} 'module.'"]),
        ("model.module.", [f"{WITHOUT} 'model.module.'"]),
    ],
)
def test_a_wrapper_round_the_whole_network_is_left_out_and_said(prefix, notes):
    out, said = loaded(prefixed(prefix))
    assert bool(eqx.tree_equal(out, net())) and said == notes


def test_layers_that_are_compiled_alone_load():
    state = {n.replace("conv.", "conv._orig_mod."): v for n, v in state_dict(net()).items()}
    assert "conv._orig_mod.lin.weight" in state and "lin.weight" in state
    out, said = loaded(state)
    assert bool(eqx.tree_equal(out, net())) and len(said) == 1


@pytest.mark.parametrize("before", ["", "_orig_mod.", "model."])
def test_an_averaged_model_loads_without_its_counter(before):
    state = {f"{before}n_averaged": np.array(3), **prefixed(f"{before}module.")}
    out, said = loaded(state)
    assert bool(eqx.tree_equal(out, net()))
    assert said[-1] == f"'{before}n_averaged' of AveragedModel was left out"


def test_a_counter_of_another_name_or_without_a_wrapper_is_not_expected():
    with pytest.raises(ValueError, match="unexpected: 'n_averaged'"):
        load_state_dict(net(), {**state_dict(net()), "n_averaged": np.array(3)})
    with pytest.raises(ValueError, match="unexpected: 'averaged'"):
        load_state_dict(net(), {**prefixed("module."), "averaged": np.array(3)})


def test_names_that_fit_stay_as_they_are_though_all_begin_alike():
    wrapped = Wrapped(net())
    out, said = loaded(state_dict(wrapped), Wrapped(net(1)))
    assert bool(eqx.tree_equal(out, wrapped)) and said == []
    out, said = loaded(prefixed("module.", state_dict(wrapped)), Wrapped(net(1)))
    assert bool(eqx.tree_equal(out, wrapped)) and said == [f"{WITHOUT} 'module.'"]


def test_a_batch_norm_keeps_the_module_that_is_its_own():
    state = state_dict(BatchNorm(4))
    assert "module.weight" in state
    assert loaded(state, BatchNorm(4))[1] == []
    assert loaded(prefixed("module.", state), BatchNorm(4))[1] == [f"{WITHOUT} 'module.'"]


def test_what_is_beside_the_network_is_named_and_refused():
    with pytest.raises(ValueError, match="does not fit Net") as caught:
        load_state_dict(net(), {**prefixed("model."), "criterion.weight": np.ones(2, np.float32)})
    lines = str(caught.value).split("\n  - ")[1:]
    assert lines == ["unexpected: 'criterion.weight'"]


def test_two_networks_in_one_state_dict_are_not_chosen_between():
    both = {**prefixed("ema."), **prefixed("model.")}
    with pytest.raises(
        ValueError, match=re.escape("would fit without 'ema.' and without 'model.'")
    ):
        load_state_dict(net(), both)


def test_nothing_is_left_out_if_some_names_fit_already():
    state = state_dict(net())
    state["other.lin.weight"] = state.pop("lin.weight")
    with pytest.raises(ValueError, match=r"missing: 'lin\.weight'"):
        load_state_dict(net(), state)


def test_old_names_of_pyg_load_from_within_a_wrapper():
    state = state_dict(net())
    state["conv.weight"] = np.asarray(state.pop("conv.lin.weight")).T
    out, said = loaded(prefixed("module.", state))
    assert bool(eqx.tree_equal(out, net()))
    assert said == [f"{WITHOUT} 'module.'", "conv.weight (before PyG 2.0) as conv.lin.weight"]


def test_a_layer_under_a_second_name_is_taken_if_all_its_values_are_equal():
    state = state_dict(net())
    more = {n.replace("conv.", "alias."): v for n, v in state.items() if n.startswith("conv.")}
    out, said = loaded({**more, **state})
    assert bool(eqx.tree_equal(out, net()))
    assert said == ["'alias' has the values of 'conv', and is taken as its second name"]
    more["alias.lin.weight"] = np.nextafter(np.asarray(more["alias.lin.weight"]), np.float32(9))
    with pytest.raises(ValueError, match=r"unexpected: 'alias\.bias'"):
        load_state_dict(net(), {**state, **more})
    del more["alias.lin.weight"]
    with pytest.raises(ValueError, match=r"unexpected: 'alias\.bias'"):
        load_state_dict(net(), {**state, **more})


def test_a_single_weight_under_a_second_name_is_taken_too():
    state = state_dict(net())
    out, said = loaded({**state, "tied.weight": state["lin.weight"]})
    assert bool(eqx.tree_equal(out, net())) and len(said) == 1


def test_a_second_layer_that_was_never_trained_is_no_second_name():
    state = state_dict(net())
    more = {n.replace("norm.", "norm2."): v for n, v in state.items() if n.startswith("norm.")}
    assert len(more) == 5
    with pytest.raises(ValueError, match=r"unexpected: 'norm2\.module\.weight'"):
        load_state_dict(net(), {**state, **more})


def test_a_layer_without_a_twin_is_named_by_its_weights():
    names = ("lin_key.weight", "lin_key.bias", "lin_query.weight", "lin_query.bias")
    more = {f"conv.{name}": np.zeros((4, 4), np.float32) for name in names}
    message = "'conv' has the weights of torch_geometric.nn.TransformerConv, which has no twin here"
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_state_dict(net(), {**state_dict(net()), **more})
    assert str(caught.value).count("no twin") == 1


def test_weights_of_our_own_layers_are_not_taken_for_others():
    layer = GATConv(3, 2, edge_dim=2, key=jax.random.key(0))
    more = {f"more.{name}": value for name, value in state_dict(layer).items()}
    with pytest.raises(ValueError, match="unexpected") as caught:
        load_state_dict(net(), {**state_dict(net()), **more})
    assert "no twin" not in str(caught.value)
