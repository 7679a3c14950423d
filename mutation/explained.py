"""Mutants that nothing can see, and why."""

# (function, line before, line after): reason
EXPLAINED: dict[tuple[str, str, str], str] = {}
