"""Analyses of tag streams: each is fed block by block and exact wherever the cuts fall."""
