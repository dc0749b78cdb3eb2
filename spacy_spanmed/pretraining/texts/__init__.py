"""Texts to pretrain on: finding files, and one module for each format they come in."""
