"""Readers of annotated corpora. Each yields Docs that say which annotation layers they carry."""
