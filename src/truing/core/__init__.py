"""Digests, seeds, files, errors and the pinned environment. Imports nothing else of ours."""
