"""From results to verdicts: views over trials, statistics, checks, baselines, comparisons. Never torch or matplotlib.

Imports `results` and what stands above it.
"""
