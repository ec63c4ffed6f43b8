"""Carrying a suite out: the supervisor and its board, workers and their attempts, the training loop, other machines.

Imports `suite`, `store` and `queue`. The worker is where engine, task and stores meet.
"""
