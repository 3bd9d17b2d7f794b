"""A small project of its own for every module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.checkout import Checkout, copy_of_the_tree


@pytest.fixture(scope="module")
def new_checkout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Checkout]:
    """Make a fresh, committed checkout with the small overlay applied; nothing has been run in it."""

    def make() -> Checkout:
        checkout = copy_of_the_tree(tmp_path_factory.mktemp("project"))
        checkout.run("git", "init", "-q", "-b", "main")
        checkout.run("truing", "plan", "--overlay", "tests/e2e/small.yaml")
        checkout.commit("small")
        return checkout

    return make
