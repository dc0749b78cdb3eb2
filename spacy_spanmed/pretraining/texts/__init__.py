"""From texts to token sequences: finding files, reading each format, choosing documents,
tokenizing and packing them.

All code that decides which sequences a text gives belongs here: a cache of sequences is named by
this folder's content (see ``cache.py``).
"""
