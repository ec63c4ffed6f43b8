"""Long campaigns against real servers: `python -m tests.chaos --help`. The short forms are in `tests/scale`."""
