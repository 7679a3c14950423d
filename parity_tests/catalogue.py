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
# PyG takes ten times as long for these as for any other. They are compared with their references,
# and live on smaller graphs, in `test_whole_networks.py` and `test_edge_pooling.py`.
LIVE = tuple(name for name in SPECS if name not in ("GraphUNet", "EdgePooling"))
FEATURES = _pools.WIDTH
