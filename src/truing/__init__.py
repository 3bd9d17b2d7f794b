"""truing: measure how a language model leans, find the data that pulls it, and say honestly what changed."""

__version__ = "0.1.0"
