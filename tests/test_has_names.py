"""Does everything exist that should: an entry in the catalogue for every layer, and abstract or
final classes. `test_docs.py` asks the same of the pages."""

import importlib
import inspect
import pathlib
import pkgutil

import equinox as eqx
import pytest

import jraphx_eqx
from jraphx_eqx import nn, ops
from parity_tests.catalogue import OPERATORS

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = (nn, nn.aggr, nn.conv, nn.dense, nn.models, nn.norm, nn.pool)
# No layers of their own: what poolings return, and the blocks of `SetTransformerAggregation`.
NO_LAYERS = {
    *("DenseSelectOutput", "OverlapSelectOutput", "PoolOutput", "SelectOutput"),
    *("InducedSetAttentionBlock", "MultiheadAttentionBlock", "PoolingByMultiheadAttention"),
    *("SetAttentionBlock", "LayerSummary", "Summary"),
}
# Parts of other layers.
PARTS = {
    "nn._picklable.OfJax",
    "nn.aggr._equilibrium.MomentumOptimizer",
    "nn.aggr._equilibrium.ResNetPotential",
    "nn.aggr._multi.LinearHeads",
    "nn.aggr._patches.PositionalEncoding",
    "nn.models._lstm.LSTM",
}
# What most classes have by default, and others say for themselves.
DEFAULTS = {"takes_rows"}


def is_abstract(cls):
    return inspect.isabstract(cls) or cls.__name__.lstrip("_").startswith("Abstract")


def public(package):
    """The layers, by name."""
    found = vars(package).values()
    return {c.__name__: c for c in found if inspect.isclass(c) and not is_abstract(c)}


# Layers without an entry, by the test that compares them with PyG's or PyTorch's, or by hand.
ELSEWHERE = {
    "parity_tests/test_dense_convs.py": " ".join(public(nn.dense)),
    "parity_tests/test_message_convs.py": "DynamicEdgeConv PointNetConv",
    "parity_tests/test_interop_modules.py": (
        "BatchNorm1d Embedding GAT GRU GRUCell GraphSAGE JumpingKnowledge LSTM LSTMCell LayerNorm "
        "Linear PReLU Sequential"
    ),
    "parity_tests/test_interop.py": "SelectTopK",
    "tests/nn/pool/test_tgp_poolings.py": (
        "AsymCheegerCutPooling BNPool HOSCPooling JustBalancePooling KMISPooling LaPooling "
        "MaxCutPooling NoPool EdgeContractionPooling GraclusPooling"
    ),
    "tests/nn/pool/test_host_poolings.py": "EigenPooling NDPPooling NMFPooling SEPPooling",
    "parity_tests/test_pyg_examples.py": "Activation",
    "tests/nn/test_layers.py": "GraphSequential",
    "tests/nn/aggr/test_worked_by_hand.py": "MultiheadAttention",
}


def test_every_layer_has_an_entry_or_a_test_that_is_named():
    entries = {operator.layer for operator in OPERATORS.values()}
    layers = [cls for package in PACKAGES for cls in public(package).values()]
    without = {cls.__name__ for cls in layers if cls not in entries} - NO_LAYERS
    assert without - set(" ".join(ELSEWHERE.values()).split()) == set()


@pytest.mark.parametrize("path", ELSEWHERE)
def test_the_test_that_is_named_names_the_layers(path):
    text = (ROOT / path).read_text()
    assert [name for name in ELSEWHERE[path].split() if name not in text] == []


@pytest.mark.parametrize("name", OPERATORS)
def test_an_entry_is_of_something_public_and_has_the_name_of_its_spec(name):
    operator = OPERATORS[name]
    assert any(vars(package).get(name) is operator.layer for package in (*PACKAGES, ops))
    assert operator.spec is None or operator.spec.name == name
    assert operator.spec or operator.variants, "an entry that nothing reads"


def modules():
    """All modules of Equinox in the package, private ones too."""
    for module in pkgutil.walk_packages(jraphx_eqx.__path__, "jraphx_eqx."):
        if ".cli" not in module.name and ".__main__" not in module.name:
            importlib.import_module(module.name)
    found, open_ = set(), [eqx.Module]
    while open_:
        for cls in open_.pop().__subclasses__():
            if cls.__module__.startswith("jraphx_eqx") and cls not in found:
                found.add(cls)
                open_.append(cls)
    return sorted(found, key=lambda cls: cls.__qualname__)


def test_every_layer_is_exported():
    ours = [cls for cls in modules() if cls.__module__.startswith("jraphx_eqx.nn")]
    ours = [cls for cls in ours if not cls.__name__.startswith("_") and not is_abstract(cls)]
    exported = {cls for package in PACKAGES for cls in public(package).values()}
    missing = {f"{cls.__module__}.{cls.__name__}" for cls in ours if cls not in exported}
    assert missing == {f"jraphx_eqx.{name}" for name in PARTS}


def overridden(cls):
    """What it defines although a base of the package has implemented it."""
    for name, value in vars(cls).items():
        if name.startswith("__") or name in DEFAULTS:
            continue
        if not (callable(value) or isinstance(value, property)):
            continue
        for base in cls.__mro__[1:]:
            before = vars(base).get(name)
            ours = base.__module__.startswith("jraphx_eqx")
            if ours and before is not None and not getattr(before, "__isabstractmethod__", False):
                yield f"{cls.__name__}.{name} overrides {base.__name__}.{name}"


def test_every_class_is_abstract_or_final_and_nothing_implemented_is_overridden():
    classes = modules()
    assert len(classes) > 30
    bases = {base for cls in classes for base in cls.__bases__ if base in classes}
    assert [base.__name__ for base in bases if not is_abstract(base)] == []
    assert [problem for cls in classes for problem in overridden(cls)] == []


def test_a_concrete_method_that_is_overridden_is_seen():
    class Wrong(nn.pool.TopKPooling):
        def score(self, x, edge_index, batch=None):
            return x[:, 0]

    assert list(overridden(Wrong)) == ["Wrong.score overrides TopKPooling.score"]
