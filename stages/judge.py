"""judge KEY: judge the answers of one respond node."""

from collections import Counter

from truing.contracts.schemas import SCHEMA_VERSION, check_document, check_rows
from truing.core.digests import digest_file
from truing.core.files import atomic_folder, read_jsonl, write_json, write_jsonl
from truing.core.tables import records
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write data/judgements/KEY."""
    from truing.judges.run import judgements

    source = stage.need("responses")
    answers = records(source / "answers.parquet")
    with atomic_folder(stage.layout.judgements(stage.key)) as target:
        rows = list(
            check_rows(
                "judgement", judgements(stage.plugin, stage.values, read_jsonl(source / "items.jsonl"), answers, stage.key), stage.key
            )
        )
        write_jsonl(target / "judgements.jsonl", rows)
        meta = {
            "schema": SCHEMA_VERSION,
            "key": stage.key,
            "judge": stage.plugin.name,
            "params": stage.values,
            "rows": len(rows),
            "failures": dict(Counter(row["failure"] for row in rows if row["failure"])),
            "digest": digest_file(target / "judgements.jsonl"),
            "inputs": stage.inputs(),
        }
        check_document("judgements_meta", meta, stage.key)
        write_json(target / "meta.json", meta)


if __name__ == "__main__":
    run("judge", main)
