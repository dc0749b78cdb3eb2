"""The parts of a pipeline: tokenizer, abbreviations, `span_ner`, `relation_extractor`."""
