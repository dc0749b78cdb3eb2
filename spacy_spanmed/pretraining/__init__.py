"""Continued pretraining of an encoder: packed blocks, maskers, MLM and the span boundary objective.

Kept free of imports, because spaCy imports this package to find the registered maskers.
"""
