"""`python -m retable` is `bench`."""

from retable.bench.commands.main import main

main()
