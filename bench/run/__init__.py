"""Carrying a suite out: the supervisor and its board, workers and their attempts, the training loop, other machines.

Imports `suite`, `store` and `queue`. `supervisor` and `joining` keep a `crew` of processes each and read its `events`;
in a process `worker` serves the queue by `claiming` trials, and an `attempt` is where engine, task and stores meet.
"""
