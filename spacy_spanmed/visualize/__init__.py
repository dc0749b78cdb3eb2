"""Entities and relations of Docs as one HTML page, or as a picture, that need nothing but themselves."""

from .page import render_html
from .picture import render_svg

__all__ = ["render_html", "render_svg"]
