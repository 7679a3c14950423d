"""How the catalogue of faults is written."""

from contextlib import AbstractContextManager
from unittest import mock

from jraphx_eqx.parity import Edit, Fault

ADD, MEAN, MAX, MIN = (f"global_{name}_pool" for name in ("add", "mean", "max", "min"))
TOPK, SAG = "TopKPooling", "SAGPooling"
GCN, GAT, SAGE, GRAPH, GIN = "GCNConv", "GATConv", "SAGEConv", "GraphConv", "GINConv"
AUGMENT = "augment_edges"
UNET = "GraphUNet"
EDGE = "EdgePooling"
BATCH_NORM, GRAPH_NORM, LAYER_NORM = "BatchNorm", "GraphNorm", "LayerNorm"
# For modules that do not import jax itself.
DETACHED = '__import__("jax").lax.stop_gradient'


def edit(name: str, place: str, old: str, new: str, *operators: str, likely: str = "") -> Fault:
    """A fault that changes one function of the package."""
    return Fault(name, Edit(f"jraphx_eqx.{place}", old, new), "", operators, likely)


def entry(name: str, table: str, key: str, other: str, *operators: str, likely: str = "") -> Fault:
    """A fault that puts another entry of a table of the package in the place of one."""

    def inject() -> AbstractContextManager:
        import pkgutil

        values = pkgutil.resolve_name(f"jraphx_eqx.{table}")
        return mock.patch.dict(values, {key: values[other]})

    return Fault(name, inject, f"{table}[{key!r}] is that of {other!r}", operators, likely)
