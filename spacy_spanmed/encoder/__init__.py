"""The encoder inside a spaCy pipeline."""

from .resolving import resolve_encoder

__all__ = ["resolve_encoder"]
