"""What a judge node is given, for the stage that judges and for the command that only counts."""

from __future__ import annotations

from truing.core.files import read_jsonl
from truing.core.tables import records
from truing.judges import JudgeContext
from truing.judges.cache import ReplyCache
from truing.planning.project import Project


def reply_cache(project: Project) -> ReplyCache:
    """Replies that were paid for, shared by all judge nodes of the project."""
    return ReplyCache(project.layout.scratch / "judges.sqlite")


def judge_context(project: Project, key: str, cache: ReplyCache, *, progress: bool = False) -> JudgeContext:
    """The answers of a judge node, and its part of the run's budget."""
    nodes = project.nodes("judge")
    source = project.layout.responses(nodes[key].responses)
    return JudgeContext(
        key=key,
        root_seed=project.settings.run.root_seed,
        items=lambda: read_jsonl(source / "items.jsonl"),
        answers=lambda: records(source / "answers.parquet"),
        cache=cache,
        # A run's budget is spread over its nodes, so that a stop leaves every condition judged alike.
        share=1 / sum(node.config == nodes[key].config for node in nodes.values()),
        progress=progress,
    )
