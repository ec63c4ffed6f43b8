"""The suite format: YAML -> `Suite` -> trials with stable ids, and the hash of a task's code.

Pure: no store, no queue, nothing heavy. Every room below may import it; it knows `task`, `errors` and `data` alone.
"""
