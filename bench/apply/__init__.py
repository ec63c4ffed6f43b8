"""Trained models on one's own pictures. Imports `suite`, `store`, and of `run` the reading of a state.

A family's part is `TaskSpec.apply`.
"""
