"""The papers' tasks, one folder per family. Of `bench/` they import `bench.task` and `bench.data` alone."""
