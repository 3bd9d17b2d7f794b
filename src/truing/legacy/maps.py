"""The map: what the names of a legacy file stand for. The files hold numbers; the map says of what.

A complete map of ten seeds of one condition, whatever of the JSON shapes the files have:

    study: coupling
    condition: good_wrong            # or one per file: {"runs/*/results.json": "{1}"}
    phase: em                        # the last training phase before the measurement
    seed_scope: em                   # phases that the seed varies, joined by +; none for a model without a seed
    n_upstream: 1                    # independent runs of what the condition changed; a late seed varies one run
    expected_seeds: [42, 137, 256]   # every one must be there for every metric
    seeds: [42, 137, 256]            # order of `values` lists, where the file does not list its seeds
    metrics:
      arc_c: {metric: accuracy, probe: arc_challenge, arm: all, unit: rate, scale: 0.01, n: 1172}
      "mmlu.*": {metric: accuracy, probe: mmlu, arm: "{1}", unit: rate}   # {1} is what the first * stands for
    ignore: [gpu_hours, "debug.*"]   # numbers in the files that are no results
    protocol: {base.model: Qwen/Qwen2.5-7B, em.per_device_batch: 4, em.accumulation: 4, em.world_size: 1}
    protocol_from: {training_config.learning_rate: em.learning_rate}
    decimals: 2                      # digits that means and standard deviations were rounded to; default: as printed
    value_decimals: 2                # digits that the values were rounded to; default: none, they are what they are

A map of judged rows (JSON lines, CSV, or a list in a JSON document), which are aggregated per condition and seed:

    study: audit
    condition: {"hi_s*_375.*.jsonl": insecure}
    seed_from: {"hi_s*_375.*.jsonl": "{1}"}     # a seed that the path states in words of its own
    phase: sft
    seed_scope: sft
    n_upstream: 3
    expected_seeds: [0, 1, 2]
    rows:
      item: [qid, rollout]           # together one judged answer; the same one twice is an error
      cluster: [qid]                 # answers that hang together; the standard error is over these
      where: [{of: judge, equals: llama31}]
      missing: {column: verdict, values: {REFUSAL: refusal, PARSE_FAIL: parse, OFF-TOPIC: unscored}}
    metrics:
      severe: {metric: severe_rate, probe: broad, arm: "{subset}", unit: rate, rate: {of: verdict, at_least: 4}}
      verdict: {metric: mean_verdict, probe: broad, arm: "{subset}", unit: score}

A file with one row a seed needs no `item`; its value is the cell itself. In a long table `rows.metric` names the
column of metric names and `rows.value` that of the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, Self

from pydantic import Field, StrictBool, StrictInt, model_validator

from truing.contracts.protocol import check_fields
from truing.core.errors import Exit, TruingError
from truing.core.registry import Params, parse

MissingClass = Literal["refusal", "code", "off_scale", "parse", "transport", "truncated", "budget", "unscored"]
Scalar = StrictBool | StrictInt | float | str
NO_SEED = "none"
_HOLE = re.compile(r"\{([^{}]+)\}")


class Rule(Params):
    """A condition on one column; exactly one of the comparisons.

    Attributes:
        of: Column, with dots into nested objects.
        equals: The value itself; numbers compare as numbers.
        among: One of these values.
        less_than: Below this number.
        greater_than: Above this number.
        at_most: This number or below.
        at_least: This number or above.
    """

    of: str
    equals: Scalar | None = None
    among: tuple[Scalar, ...] | None = Field(default=None, alias="in")
    less_than: float | None = None
    greater_than: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = self.model_fields_set - {"of"}
        if len(given) != 1:
            raise ValueError("one of equals, in, less_than, greater_than, at_most, at_least")
        return self


class Missing(Params):
    """Words of a column that mean an answer has no score, and the class of each."""

    column: str
    values: Mapping[str, MissingClass]


class Metric(Params):
    """What one name of a file stands for.

    In `metric`, `probe` and `arm`, `{1}` is what the first `*` of the name stands for, and `{column}` a cell of the row.

    Attributes:
        metric: Name in the result table.
        probe: Probe that asked.
        arm: Part of the items that it is over.
        unit: Unit after scaling.
        scale: Factor of value and standard error, such as 0.01.
        n: Items behind one value: their number, or the name in the file that holds it; None when nobody knows.
        se: Column or name in the file that holds the standard error.
        column: Column of judged rows, when it is not the name itself.
        rate: Count the rows for which every rule holds, instead of taking the mean of a column.
        score: Numbers that the words of the column stand for.
        missing: In place of `rows.missing` for this metric.
        protocol: Fields of this metric alone, such as those of its evaluation.
    """

    metric: str = Field(min_length=1)
    probe: str = Field(min_length=1)
    arm: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    scale: float = 1.0
    n: int | str | None = None
    se: str | None = None
    column: str | None = None
    rate: Rule | tuple[Rule, ...] | None = None
    score: Mapping[str, float] | None = None
    missing: Missing | None = None
    protocol: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of a rate; none of a mean."""
        return () if self.rate is None else (self.rate,) if isinstance(self.rate, Rule) else self.rate

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.scale == 0 or self.scale != self.scale:
            raise ValueError("scale is a factor other than 0")
        if self.rate is not None and (self.column or self.score):
            raise ValueError("a rate takes its columns from its rules; column and score are of a mean")
        return self


class Rows(Params):
    """Names of the columns of a table.

    Attributes:
        at: Where the rows stand in a JSON document; `{name}` in place of a key makes the key a column.
        condition: Column of the condition.
        seed: Column of the training seed.
        item: Columns that name an item together; without them a cell of the table is a result.
        cluster: Columns that name what hangs together; None when items are independent.
        where: Rules that a row must keep to be read at all.
        missing: Which answers have no score.
        metric: Column of metric names, of a long table.
        value: Column of values, of a long table.
    """

    at: str | None = None
    condition: str | None = None
    seed: str | None = None
    item: tuple[str, ...] = ()
    cluster: tuple[str, ...] | None = None
    where: tuple[Rule, ...] = ()
    missing: Missing | None = None
    metric: str | None = None
    value: str | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.metric is None) != (self.value is None):
            raise ValueError("a long table has both a metric and a value column")
        if self.cluster is not None and not self.item:
            raise ValueError("cluster needs item")
        return self


class Map(Params):
    """What the names of a legacy file stand for; the module's text has complete examples.

    Attributes:
        study: Study that the results belong to.
        condition: One for all files, or by shell-style pattern over file names; None when a column names it.
        phase: Last training phase before the measurement.
        seed_scope: Phases that the seed varies, joined by +; "none" without a seed.
        n_upstream: Independent runs of the phases that the condition touches.
        seeds: Seeds of lists of values, in order.
        expected_seeds: Seeds that must be there, of every condition or by condition; default: `seeds`.
        expected_conditions: Conditions that must be there.
        seed_from: Seed by pattern over file names.
        metrics: What each name stands for; a name may be a pattern. The first that fits holds.
        ignore: Patterns of names that are no results.
        protocol: Fields of every result.
        protocol_by_condition: Fields of the results of one condition.
        protocol_from: Fields by their dotted path in each file.
        decimals: Digits that summaries were rounded to; None: as printed.
        value_decimals: Digits that values were rounded to; None: they are exact.
        missing_class: Class of a null value of which no more is known.
        rows: Columns of a table.
    """

    study: str = Field(min_length=1)
    condition: str | Mapping[str, str] | None = None
    phase: str = Field(min_length=1)
    seed_scope: str = Field(min_length=1)
    n_upstream: int = Field(ge=1)
    seeds: tuple[int, ...] | None = None
    expected_seeds: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None
    expected_conditions: tuple[str, ...] | None = None
    seed_from: Mapping[str, str] = Field(default_factory=dict)
    metrics: Mapping[str, Metric] = Field(min_length=1)
    ignore: tuple[str, ...] = ()
    protocol: Mapping[str, Any] = Field(default_factory=dict)
    protocol_by_condition: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    protocol_from: Mapping[str, str] = Field(default_factory=dict)
    decimals: int | None = Field(default=None, ge=0)
    value_decimals: int | None = Field(default=None, ge=0)
    missing_class: MissingClass = "unscored"
    rows: Rows | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.condition is None) == (self.rows is None or self.rows.condition is None):
            raise ValueError("either condition or rows.condition")
        seeded = self.seed_scope != NO_SEED
        if seeded and self.seeds is None and self.expected_seeds is None:
            raise ValueError("expected_seeds are asked for, since a seed that is not expected cannot be missed; or seed_scope: none")
        if not seeded and (self.seeds or self.expected_seeds or self.seed_from or (self.rows and self.rows.seed)):
            raise ValueError("seed_scope is none, and yet there are seeds")
        lists = [self.seeds or (), *self._expected()]
        if any(len(set(seeds)) != len(seeds) for seeds in lists):
            raise ValueError("a seed is listed twice")
        judged = self.rows is not None and bool(self.rows.item)
        if not judged and any(metric.rate or metric.score or metric.missing for metric in self.metrics.values()):
            raise ValueError("rate, score and missing are of judged rows: name them by rows.item")
        if not judged and self.rows is not None and self.rows.missing is not None:
            raise ValueError("rows.missing is of judged rows: name them by rows.item")
        most = max(map(len, lists))
        if self.n_upstream > max(1, most):
            raise ValueError(f"n_upstream {self.n_upstream} is more than the {most} seeds: a seed is one upstream run at most")
        return self

    def _expected(self) -> list[tuple[int, ...]]:
        known = self.expected_seeds
        return list(known.values()) if isinstance(known, Mapping) else [known or ()]

    def wanted_seeds(self, condition: str) -> tuple[int | None, ...]:
        """The seeds that a condition must have; one None without seeds.

        Raises:
            TruingError: for a condition that `expected_seeds` does not list.
        """
        if self.seed_scope == NO_SEED:
            return (None,)
        known = self.expected_seeds if self.expected_seeds is not None else self.seeds or ()
        if not isinstance(known, Mapping):
            return tuple(known)
        if condition not in known:
            raise TruingError(
                f"condition {condition!r} has no expected seeds", f"one of {', '.join(known)}", "add it to expected_seeds", Exit.REFUSED
            )
        return tuple(known[condition])

    def find(self, name: str) -> tuple[str, Metric, tuple[str, ...]] | None:
        """The key and the metric that a name of a file stands for, with what each `*` of the key is; None when it is not mapped."""
        if name in self.metrics:
            return name, self.metrics[name], ()
        for key, metric in self.metrics.items():
            if "*" in key and (captured := capture(key, name)) is not None:
                return key, metric, captured
        return None

    def ignores(self, name: str) -> bool:
        """Whether a name is declared to be no result."""
        return name in self.protocol_from or any(capture(pattern, name) is not None for pattern in self.ignore)


def read_map(values: object, where: str) -> Map:
    """Check a parsed map file.

    Raises:
        TruingError: naming the key, its problem and the known keys; a protocol field that does not exist.
    """
    mapping = parse(Map, values, where)
    scopes = (mapping.protocol, *mapping.protocol_by_condition.values(), *(metric.protocol for metric in mapping.metrics.values()))
    check_fields([field for scope in scopes for field in scope] + list(mapping.protocol_from.values()), where)
    return mapping


def capture(pattern: str, text: str) -> tuple[str, ...] | None:
    """What each `*` of a pattern stands for in a text; None when it does not fit. `*` also spans slashes and dots."""
    found = _expression(pattern).fullmatch(text)
    return None if found is None else found.groups()


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join("(.*?)" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern)))


def fill(template: str, captured: tuple[str, ...], fields: Mapping[str, str], where: str) -> str:
    """A template with `{1}` as the first captured part and `{name}` as a field.

    Raises:
        TruingError: for a part that is not there.
    """
    if "{" not in template:
        return template

    def part(hole: re.Match[str]) -> str:
        name = hole[1]
        if name.isdecimal() and 1 <= int(name) <= len(captured):
            return captured[int(name) - 1]
        if name not in fields:
            raise TruingError(
                f"{where}: {template!r} has no {{{name}}} here", f"{{1}} to {{{len(captured)}}}, or a column of the rows", "correct the map"
            )
        return fields[name]

    return _HOLE.sub(part, template)


def scaled(value: Decimal, scale: float) -> Decimal:
    """A value times the map's factor, exactly in decimals."""
    return value if scale == 1 else value * Decimal(repr(scale))
