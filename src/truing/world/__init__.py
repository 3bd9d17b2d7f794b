"""The embedded micro-world: text, people, policies and questions generated from a seed."""
