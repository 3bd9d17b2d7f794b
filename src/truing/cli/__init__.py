"""The `truing` command. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import os
import sys

import typer

from truing.cli import impact, judging, models, pipeline, publish, repro, results  # noqa: F401 - importing a module adds its commands
from truing.cli.app import app
from truing.core.errors import TruingError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; a user's error is printed without a stack trace, and decides the exit code."""
    try:
        app()
    except TruingError as error:
        if os.environ.get("TRUING_DEBUG"):
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(int(error.code))
