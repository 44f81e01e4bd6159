"""Programs to run and read; `python -m examples.flights` is the one to start with."""
