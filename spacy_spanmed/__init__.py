"""spaCy SpanMed: biomedical encoders pretrained with span masking, entities and relations."""

__version__ = "0.1.0"
