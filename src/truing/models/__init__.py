"""Base models, chat encoding, label tokens and scoring."""
