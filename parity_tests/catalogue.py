"""The specs of all operators."""

from . import _convs, _global_pools, _pools

SPECS = {spec.name: spec for spec in (*_global_pools.SPECS, *_pools.SPECS, *_convs.SPECS)}
FEATURES = _pools.WIDTH
