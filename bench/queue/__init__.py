"""Optuna as the queue of trials: its studies, its storage, and what a worker must have to run a trial.

Imports `suite` and `store`.
"""
