"""The one typer app; command modules add themselves to it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The `truing` command.")


@app.callback()
def _options(debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")] = False) -> None:
    if debug:
        os.environ["TRUING_DEBUG"] = "1"
