"""Continued pretraining of an encoder: texts, packed sequences, maskers, MLM and the span
boundary objective."""
