"""Types are checked by beartype, from the first call of a function on.

beartype writes a checker for each function, which takes milliseconds. Most functions of the package
are never called by a program, and those of a first call are few.
"""

import functools
from collections.abc import Callable
from typing import Any


def on_first_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, checked by beartype, which is asked for it when it is called."""

    @functools.cache
    def checker():
        import beartype

        return beartype.beartype(function)

    @functools.wraps(function)
    def checked(*args, **kwargs):
        return checker()(*args, **kwargs)

    return checked
