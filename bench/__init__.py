"""The engine of retable: it knows no paper. What users may use is the package `retable` itself; see `api`.

The rooms stand in the order of the data's way; each imports only from those before it (tests/test_layers.py):
errors, task, numbers, files, tables, data; suite, store, queue, run, results, judging, report, apply; api, commands.
"""
