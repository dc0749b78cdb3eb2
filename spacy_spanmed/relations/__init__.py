"""The relation pipe `relation_extractor`: component · model · candidates."""
