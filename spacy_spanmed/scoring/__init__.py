"""Scores of entities and relations on character offsets, and how far they can be trusted."""
