"""Texts to pretrain on: finding files, reading each format, choosing documents."""
