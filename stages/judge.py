"""judge KEY: judge the answers of one respond node."""

from truing.core.files import read_jsonl
from truing.core.tables import records
from truing.planning.artifacts import write_judgements
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write data/judgements/KEY."""
    from truing.judges.run import judgements

    source = stage.need("responses")
    items, answers = read_jsonl(source / "items.jsonl"), records(source / "answers.parquet")
    meta = {"key": stage.key, "judge": stage.plugin.name, "params": stage.values, "inputs": stage.inputs()}
    write_judgements(stage.layout.judgements(stage.key), judgements(stage.plugin, stage.values, items, answers, stage.key), meta)


if __name__ == "__main__":
    run("judge", main)
