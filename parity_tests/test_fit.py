"""What `verify` hands to both sides, and what it says of parameters that few or none use."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_geometric.nn as pyg

from jraphx_eqx.fit import Network, verify
from jraphx_eqx.nn import Linear
from jraphx_eqx.nn.conv import GraphConv
from jraphx_eqx.nn.models import JumpingKnowledge
from jraphx_eqx.nn.norm import BatchNorm1d
from jraphx_eqx.nn.pool import global_add_pool
from jraphx_eqx.ops import segment_softmax
from jraphx_eqx.parity import Case, assert_parity, check, graphs, record, run
from jraphx_eqx.report._table import rows

KEY = jax.random.key(0)
CASE = graphs.random(2, graphs=3)
X, EDGES, BATCH = (np.asarray(CASE[name]) for name in ("x", "edge_index", "batch"))


def their_module(build, forward):
    """A PyTorch network whose layers `build(self)` makes."""

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            build(self)

    Theirs.forward = forward
    return Theirs().eval()


def compared(ours, theirs, given=(X,), names=("x",), layers=False, **options):
    network = Network(given, names, **options)
    return verify(ours, theirs, network, lanes=("f64",), layers=layers)


def failed(found):
    return {record.tensor for record in found.result.of("FAIL")}


class Masked(eqx.Module):
    lin: Linear

    def __call__(self, x, mask):
        assert mask.dtype == bool
        return self.lin(jnp.where(mask[:, None], x, 0))


def test_a_bool_mask_arrives_as_bool_on_both_sides():
    def forward(self, x, mask):
        assert mask.dtype == torch.bool
        return self.lin(torch.where(mask[:, None], x, 0))

    theirs = their_module(lambda self: setattr(self, "lin", torch.nn.Linear(4, 2)), forward)
    ours = Masked(Linear(4, 2, key=KEY))
    mask = np.arange(len(X)) % 3 > 0
    found = assert_parity(ours, theirs, [X, mask], lanes=("f64",))
    assert found.exit_code == 0
    assert compared(ours, theirs, (X, mask), ("x", "mask")).result.exit_code == 0
    wrong = eqx.tree_at(lambda net: net.lin, ours, replace=lambda x: ours.lin(jnp.abs(x)))
    with pytest.raises(AssertionError, match="only in PyTorch"):
        assert_parity(wrong, theirs, [X, mask], lanes=("f64",))


class Jumping(eqx.Module):
    first: Linear
    jump: JumpingKnowledge

    def __call__(self, x):
        return self.readout(self.jump([x, self.first(x)]))

    def readout(self, x):
        return 2 * x


def test_a_layer_that_gets_a_list_is_compared_alone_and_a_method_is_no_layer():
    class Twice(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    def build(self):
        self.first, self.jump = torch.nn.Linear(4, 4), pyg.JumpingKnowledge("max")
        self.readout = Twice()

    theirs = their_module(build, lambda self, x: self.readout(self.jump([x, self.first(x)])))
    ours = Jumping(Linear(4, 4, key=KEY), JumpingKnowledge("max"))
    found = compared(ours, theirs, layers=True)
    assert found.result.exit_code == 0
    assert {record.operator for record in found.result.records} == {"first", "jump", "network"}
    assert found.alone == {"readout": "the Equinox network has no layer of this name"}
    joined = Jumping(ours.first, JumpingKnowledge("cat"))
    assert compared(joined, theirs, layers=True).first == "jump"


class Gated(eqx.Module):
    gate_nn: Linear
    nn: Linear

    def __call__(self, x, batch):
        gate = segment_softmax(self.gate_nn(x)[:, 0], batch.index, batch.num_graphs)
        return global_add_pool(gate[:, None] * self.nn(x), batch)


def test_a_gradient_that_is_zero_by_mathematics_is_listed_whatever_the_seed():
    def build(self):
        self.gate_nn, self.nn = torch.nn.Linear(4, 1), torch.nn.Linear(4, 3)

    def forward(self, x, batch):
        gate = torch.exp(self.gate_nn(x))
        gate = gate / pyg.global_add_pool(gate, batch)[batch]
        return pyg.global_add_pool(gate * self.nn(x), batch)

    theirs = their_module(build, forward)
    ours = Gated(Linear(4, 1, key=KEY), Linear(4, 3, key=KEY))
    network = Network((X, BATCH), ("x", "batch"), num_graphs=3)
    spec, case = network.pair("network", ours, theirs)
    verdicts = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn = Case("drawn", {**case.arrays, "arg0": graphs.normal(rng, X.shape)})
        result = run(spec, [drawn], seed=seed, weights="draw")
        assert result.exit_code == 0, [r.message for r in result.records if r.verdict != "PASS"]
        verdicts |= {r.verdict for r in result.records if r.tensor == "d.gate_nn.bias"}
    assert "UNJUDGED" in verdicts


class Dead(eqx.Module):
    dead: Linear
    lin: Linear
    slope: float = eqx.field(static=True, default=0.0)

    def __call__(self, x):
        return self.lin(x) + jax.nn.leaky_relu(self.dead(x) - 1e3, self.slope)


def test_a_gradient_may_vanish_where_that_is_expected():
    def build(self):
        self.dead, self.lin = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)

    theirs = their_module(build, lambda self, x: self.lin(x) + (self.dead(x) - 1e3).relu())
    ours = Dead(Linear(4, 2, key=KEY), Linear(4, 2, key=KEY))
    assert compared(ours, theirs).result.exit_code == 2
    assert compared(ours, theirs, expect_zero=["dead"]).result.exit_code == 2
    expected = [r"dead\..*"]
    assert compared(ours, theirs, expect_zero=expected).result.exit_code == 0
    leaking = Dead(ours.dead, ours.lin, slope=1e-9)
    assert "d.dead.bias" in failed(compared(leaking, theirs, expect_zero=expected))


class Lost(eqx.Module):
    """Its twin's rounding errors of float32 are millions of times as large as its result."""

    def __call__(self, x):
        return 1.01 * x


class Losing(eqx.Module):
    lin: Linear
    lost: Lost

    def __call__(self, x):
        return self.lost(self.lin(x))


def test_a_layer_and_a_network_that_rounding_noise_hides_do_not_pass():
    class TheirLost(torch.nn.Module):
        def forward(self, x):
            return x + 1e14 * (torch.log(torch.exp(x)) - x)

    def build(self):
        self.lin, self.lost = torch.nn.Linear(4, 3), TheirLost()

    theirs = their_module(build, lambda self, x: self.lost(self.lin(x)))
    found = compared(Losing(Linear(4, 3, key=KEY), Lost()), theirs, layers=True)
    assert found.result.exit_code == 2
    status = {row["operator"]: row["status"] for row in rows(found.result)}
    assert status == {"lin": "PASS", "lost": "UNJUDGED", "network": "MISTRUSTED"}


class Alias(eqx.Module):
    conv: GraphConv
    alias: GraphConv | None

    def __call__(self, x, edge_index):
        second = self.conv if self.alias is None else self.alias
        return second(jax.nn.relu(self.conv(x, edge_index)), edge_index)


class Detached(Alias):
    def __call__(self, x, edge_index):
        first = jax.tree.map(jax.lax.stop_gradient, self.conv)
        return self.conv(jax.nn.relu(first(x, edge_index)), edge_index)


@pytest.mark.parametrize("kind", ["two layers", "one under two names", "one name"])
def test_gradients_of_a_layer_under_two_names_add_up(kind):
    def build(self):
        self.conv = self.alias = pyg.GraphConv(4, 4)

    theirs = their_module(build, lambda self, x, e: self.alias(self.conv(x, e).relu(), e))
    first, second = GraphConv(4, 4, key=KEY), GraphConv(4, 4, key=jax.random.key(1))
    ours = {
        "two layers": Alias(first, second),
        "one under two names": Alias(first, first),
        "one name": Alias(first, None),
    }[kind]
    given, names = (X, EDGES), ("x", "edge_index")
    assert compared(ours, theirs, given, names).result.exit_code == 0
    wrong = Detached(ours.conv, ours.alias)
    assert "d.conv.lin_rel.weight" in failed(compared(wrong, theirs, given, names))


class Scaled(eqx.Module):
    """It uses its parameter, as a factor of 1, or its buffer, as a summand of 0, or neither."""

    lin: Linear
    scale: jax.Array
    shift: jax.Array
    uses: str = eqx.field(static=True)

    def __call__(self, x):
        x = self.lin(x)
        x = x * self.scale if "scale" in self.uses else x
        return x + self.shift if "shift" in self.uses else x


def their_scaled(uses):
    def build(self):
        self.lin = torch.nn.Linear(4, 2)
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("shift", torch.zeros(2))

    def forward(self, x):
        x = self.lin(x)
        x = x * self.scale if "scale" in uses else x
        return x + self.shift if "shift" in uses else x

    return their_module(build, forward)


def our_scaled(uses):
    return Scaled(Linear(4, 2, key=KEY), jnp.ones(2), jnp.zeros(2), uses)


@pytest.mark.parametrize("uses", ["", "scale", "shift"])
def test_what_both_sides_use_or_neither_uses_reaches_exit_code_0(uses):
    found = compared(our_scaled(uses), their_scaled(uses))
    assert found.result.exit_code == 0
    verdicts = {r.verdict for r in found.result.records if r.tensor == "d.scale"}
    assert verdicts == ({"PASS"} if uses == "scale" else {"UNJUDGED"})


@pytest.mark.parametrize(
    ("ours", "theirs", "tensor"),
    [
        ("scale", "", "d.scale"),
        ("", "scale", "d.scale"),
        ("shift", "", "buffers moved: out.0"),
        ("", "shift", "buffers moved: out.0"),
    ],
)
def test_what_one_side_alone_uses_fails_though_it_changes_no_value(ours, theirs, tensor):
    assert failed(compared(our_scaled(ours), their_scaled(theirs))) == {tensor}


class Normed(eqx.Module):
    norm: BatchNorm1d
    again: BatchNorm1d
    ignores: bool = eqx.field(static=True, default=False)

    def __call__(self, x):
        x = x if self.ignores else self.norm(x)
        return self.again(jax.nn.relu(x))


def their_norms():
    def build(self):
        self.norm = self.again = torch.nn.BatchNorm1d(4, eps=0.0)

    return their_module(build, lambda self, x: self.again(self.norm(x).relu()))


def our_norms(ignores=False):
    norms = [BatchNorm1d(4, eps=0.0) for _ in range(2)]
    return eqx.nn.inference_mode(Normed(*norms, ignores))


def test_buffers_under_two_names_are_one():
    assert compared(our_norms(), their_norms()).result.exit_code == 0
    assert "buffers moved: out.0" in failed(compared(our_norms(ignores=True), their_norms()))


def test_references_hold_other_buffers_and_which_weights_are_one(tmp_path):
    network = Network((X,), ("x",))
    spec, case = network.pair("norms", our_norms(), their_norms())
    record(spec, [case], tmp_path, weights="keep")
    found = check(spec, tmp_path, lanes=["f64"])
    assert found.exit_code == 0, [r.message for r in found.records if r.verdict != "PASS"]
    assert "buffers moved: out.0" in {r.tensor for r in found.records}
    wrong, _ = network.pair("norms", our_norms(ignores=True), their_norms())
    found = check(wrong, tmp_path, lanes=["f64"])
    assert "buffers moved: out.0" in {r.tensor for r in found.of("FAIL")}


class OfData(eqx.Module):
    lin: Linear

    def __call__(self, graphs):
        x = graphs.x * graphs.extras["node"]["weight"][:, None]
        return global_add_pool(self.lin(x), graphs.batch), x.shape[0] / 2


@pytest.mark.parametrize("names", [("x", "batch", "weight"), ("x", "weight")])
def test_a_network_of_one_data_gets_all_arrays_and_may_return_a_number(names):
    def forward(self, data):
        x = data.x * data.weight[:, None]
        return pyg.global_add_pool(self.lin(x), data.batch), x.size(0) / 2

    theirs = their_module(lambda self: setattr(self, "lin", torch.nn.Linear(4, 2)), forward)
    arrays = {"x": X, "batch": BATCH, "weight": np.linspace(1, 2, len(X)).astype(np.float32)}
    given = [arrays[name] for name in names]
    graphs_of = 3 if "batch" in names else 1
    found = compared(
        OfData(Linear(4, 2, key=KEY)), theirs, given, names, num_graphs=graphs_of, as_data=True
    )
    assert found.result.exit_code == 0
    tensors = {record.tensor for record in found.result.records}
    assert {"out.0", "out.1", "d.lin.weight"} <= tensors
