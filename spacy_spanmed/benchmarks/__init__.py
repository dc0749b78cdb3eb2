"""Benchmarks: this package side by side with what a user would run without it."""
