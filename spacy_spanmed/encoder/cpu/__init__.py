"""BERT's layers on a CPU, with less work on the same weights."""
