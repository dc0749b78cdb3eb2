"""Entities and relations of Docs as one HTML page that needs nothing but itself."""

from .page import render_html

__all__ = ["render_html"]
