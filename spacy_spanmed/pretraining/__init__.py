"""Continued pretraining of an encoder: texts, packed sequences, maskers, MLM and the span
boundary objective.

``texts/`` holds all that makes sequences of texts: the name of a cache counts its code.
``reporting.py`` only tells of a run: the identity of a run counts all code but this.
"""
