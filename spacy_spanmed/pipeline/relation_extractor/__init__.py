"""The relation pipe `relation_extractor`: candidates, model, pooling, component."""
