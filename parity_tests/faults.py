"""Mistakes that the comparison must notice, in every operator of the catalogue.

Each is a change of one line of the package, for as long as it is tried. Every bug that is found
some other way belongs here, too.
"""

from . import _conv_faults, _pool_faults, _reduction_faults

FAULTS = (*_reduction_faults.FAULTS, *_pool_faults.FAULTS, *_conv_faults.FAULTS)
