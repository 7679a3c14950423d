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
FEATURES = _pools.WIDTH
