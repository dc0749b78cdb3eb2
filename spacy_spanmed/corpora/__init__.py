"""Annotated corpora: from sources in many formats to gold Docs, and back."""
