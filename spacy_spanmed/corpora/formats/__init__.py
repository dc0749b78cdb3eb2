"""One module a format: `read` and, mostly, `write`."""
