"""What a user would build without this package, of the stock parts, to measure ours against."""
