"""What a framework's module offers."""

from collections.abc import Callable

# For each operator and pass, a function that makes the function to time, which takes no arguments.
Operations = dict[tuple[str, str], Callable[[], Callable[[], object]]]
