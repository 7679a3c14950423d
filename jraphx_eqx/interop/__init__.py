"""PyTorch Geometric's modules, state dicts and data, in both directions.

PyTorch is imported by the calls that need it, never by the import of this package.
"""

# These fill the table that `from_pyg` and `to_pyg` look things up in.
from . import _activation as _activation
from . import _containers as _containers
from . import _data as _data
from . import _layer as _layer
from ._files import read_state_dict as read_state_dict
from ._files import write_state_dict as write_state_dict
from ._state_dict import leaf_renames as leaf_renames
from ._state_dict import load_state_dict as load_state_dict
from ._state_dict import state_dict as state_dict
from ._twins import from_pyg as from_pyg
from ._twins import to_pyg as to_pyg
