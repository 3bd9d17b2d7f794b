"""A Great Expectations suite, defined in code, that every corpus has to meet; its verdicts go into the card.

The suite's identifiers, run times and pages differ from run to run, so that only what it decided is kept:
expectation, arguments, success and the count of unexpected values.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truing.contracts.task import Task
from truing.core.digests import canonical_json
from truing.core.errors import MAX_EXAMPLES, Exit, TruingError
from truing.core.files import Row, atomic_folder
from truing.corpora.content import contents

if TYPE_CHECKING:
    import pandas as pd

_FORMS = {"text": ("text",), "messages": ("messages",), "prompt": ("prompt", "chosen", "rejected")}


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    """One line per row: doc_id, source, its texts (a conversation as one), label; missing values are None.

    A corpus of mixed forms has the columns of all of them.
    """
    import pandas as pd

    forms = [form for form in _FORMS if any(form in row for row in rows)]
    columns = ["doc_id", "source", *(column for form in forms for column in _FORMS[form]), "label"]
    lines = [[_cell(row, column) for column in columns] for row in rows]
    return pd.DataFrame(lines, columns=columns, dtype=object)


def _cell(row: Row, column: str) -> str | None:
    if column == "messages" and column in row:
        return "\n".join(contents(row).values())
    value = row.get(column)
    return value.strip() if isinstance(value, str) else None


def suite_of(task: Task | None, texts: Sequence[str], class_share: tuple[float, float]) -> list[tuple[str, dict[str, Any]]]:
    """The expectations, as (class name, arguments).

    Args:
        task: Its labels bound the label column; without a task the label column is free.
        texts: Names of the text columns.
        class_share: Smallest and largest share of rows of each class.
    """
    found: list[tuple[str, dict[str, Any]]] = [
        ("ExpectTableColumnsToMatchOrderedList", {"column_list": ["doc_id", "source", *texts, "label"]}),
        ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
        ("ExpectColumnValuesToNotBeNull", {"column": "doc_id"}),
        ("ExpectColumnValuesToBeUnique", {"column": "doc_id"}),
        ("ExpectColumnValueLengthsToBeBetween", {"column": "doc_id", "min_value": 1}),
        ("ExpectColumnValuesToNotBeNull", {"column": "source"}),
    ]
    if sum(form in texts for form in _FORMS) == 1:
        found += [("ExpectColumnValuesToNotBeNull", {"column": name}) for name in texts]
    found += [("ExpectColumnValueLengthsToBeBetween", {"column": name, "min_value": 1}) for name in texts]
    return found + ([] if task is None else _label_suite(task.names, class_share))


def _label_suite(names: Sequence[str], share: tuple[float, float]) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = [
        ("ExpectColumnValuesToNotBeNull", {"column": "label"}),
        ("ExpectColumnValuesToBeInSet", {"column": "label", "value_set": list(names)}),
        ("ExpectColumnDistinctValuesToContainSet", {"column": "label", "value_set": list(names)}),
    ]
    for name in names:
        # A share is a tolerance: at least `smallest` of the values are this class, at least `1 - largest` are another.
        found.append(("ExpectColumnValuesToBeInSet", {"column": "label", "value_set": [name], "mostly": share[0]}))
        found.append(("ExpectColumnValuesToNotBeInSet", {"column": "label", "value_set": [name], "mostly": round(1 - share[1], 12)}))
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("great_expectations")
    silent, propagate = logging.NullHandler(), logger.propagate
    # Its modules set levels of their own, so that only cutting them off from the root's handlers silences them all.
    logger.addHandler(silent)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(silent)


def _definition(context: Any, name: str, suite: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = context.data_sources.add_or_update_pandas("corpora").add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
    expectations = [getattr(gx.expectations, kind)(**arguments) for kind, arguments in suite]
    held = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=expectations))
    return context.validation_definitions.add_or_update(gx.ValidationDefinition(name=name, data=batch, suite=held))


def verdicts(key: str, rows: Sequence[Row], task: Task | None, class_share: tuple[float, float]) -> list[dict[str, Any]]:
    """What the suite decided on a corpus, in a fixed order and free of identifiers.

    Raises:
        TruingError: when an expectation could not be evaluated at all.
    """
    with _quiet():
        import great_expectations as gx

        frame = frame_of(rows)
        definition = _definition(gx.get_context(mode="ephemeral"), key, suite_of(task, list(frame.columns[2:-1]), class_share))
        run = definition.run(batch_parameters={"dataframe": frame}, result_format="BASIC")
    return sorted((_verdict(key, result) for result in run.results), key=lambda one: (one["expectation"], canonical_json(one["arguments"])))


def _verdict(key: str, result: Any) -> dict[str, Any]:
    config = result.expectation_config
    if result.exception_info.get("raised_exception"):
        raise TruingError(
            f"corpora.{key}: {config.type} could not be evaluated: {result.exception_info.get('exception_message')}",
            "a corpus that every expectation can be evaluated on",
            "report this with the corpus' parameters",
            Exit.FAILED,
        )
    count = result.result.get("unexpected_count")
    return {
        "expectation": config.type,
        "arguments": {name: value for name, value in config.kwargs.items() if name != "batch_id"},
        "success": bool(result.success),
        "unexpected_count": None if count is None else int(count),
    }


def check_verdicts(found: Sequence[Mapping[str, Any]], counts: Mapping[str, int], where: str) -> None:
    """Refuse a corpus that fails an expectation.

    Raises:
        TruingError: exit code 3, with the failed expectations, their arguments and the label counts.
    """
    failed = [one for one in found if not one["success"]]
    if not failed:
        return
    shown = [f"{one['expectation']} {canonical_json(one['arguments']).decode()} ({_unexpected(one)})" for one in failed]
    rest = f"\n    and {len(shown) - MAX_EXAMPLES} more" if len(shown) > MAX_EXAMPLES else ""
    raise TruingError(
        f"{where}: {len(failed)} of {len(found)} expectations fail:\n    " + "\n    ".join(shown[:MAX_EXAMPLES]) + rest,
        f"a corpus that meets them all; rows per label: {dict(counts)}",
        f"choose other rows, mend the source, or, for a class that is meant to be rare or frequent, set {where}: class_share",
        Exit.REFUSED,
    )


def _unexpected(one: Mapping[str, Any]) -> str:
    return "not met" if one["unexpected_count"] is None else f"{one['unexpected_count']} unexpected values"


def data_docs(card: Mapping[str, Any], rows: Sequence[Row], folder: Path) -> Path:
    """Build the HTML pages of the card's expectations on a corpus into `folder`, replacing it as a whole.

    The pages carry times and random names and fetch style sheets from public servers: they are for reading, never an output of a stage.

    Args:
        card: The corpus' card; its checks are evaluated again.
        rows: The corpus' rows.
        folder: Where the pages go.

    Returns:
        The index page.
    """
    suite = [("".join(part.capitalize() for part in one["expectation"].split("_")), dict(one["arguments"])) for one in card["checks"]]
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        import great_expectations as gx
        from great_expectations.checkpoint import UpdateDataDocsAction

        context = gx.get_context(mode="file", project_root_dir=scratch)
        definition = _definition(context, str(card["key"]), suite)
        checkpoint = gx.Checkpoint(name="docs", validation_definitions=[definition], actions=[UpdateDataDocsAction(name="docs")])
        context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame_of(rows)})
        site = next(Path(scratch).rglob("index.html")).parent
        with atomic_folder(folder) as target:
            shutil.copytree(site, target, dirs_exist_ok=True)
    return folder / "index.html"
