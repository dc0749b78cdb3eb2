"""This package beside what a user would run without it: `python -m benchmarks`."""
