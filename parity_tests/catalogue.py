"""The specs of all operators."""

from . import _convs, _edge_pool, _edges, _global_pools, _norms, _pools, _unet

ALL = (
    *_global_pools.SPECS,
    *_pools.SPECS,
    *_convs.SPECS,
    *_norms.SPECS,
    *_edges.SPECS,
    _unet.SPEC,
    _edge_pool.SPEC,
)
SPECS = {spec.name: spec for spec in ALL}
# PyG takes ten times as long for a Graph U-Net as for any other, so that one is compared with its
# references, and live in networks of `test_whole_networks.py` only.
LIVE = tuple(name for name in SPECS if name != "GraphUNet")
FEATURES = _pools.WIDTH
