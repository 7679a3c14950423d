"""Mutation testing: `python -m mutation --help`."""
