"""What crosses a stage: JSON Schemas, the pandera models built from them, and the task of a corpus."""
