"""The entity pipe `span_ner`: component, model, decoding, pooling."""
