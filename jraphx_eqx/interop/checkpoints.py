"""The steps of loading a checkpoint one by one, for tools that show them. Everybody else calls
`read_state_dict` and `load_state_dict`."""

from ._arrays import as_array as as_array
from ._files import format_of as format_of
from ._files import read_kept as read_kept
from ._fit import Fit as Fit
from ._fit import fit as fit
from ._state_dict import load_fit as load_fit
from ._state_dict import parts_by_path as parts_by_path
