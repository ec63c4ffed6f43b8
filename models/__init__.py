"""The papers' tasks, one folder per family. Of `bench/` they import `task` and `data` alone."""
