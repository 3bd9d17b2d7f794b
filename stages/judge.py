"""judge KEY: judge the answers of one respond node."""

from contextlib import closing

from truing.core.files import read_json, read_jsonl
from truing.core.tables import records
from truing.planning.artifacts import write_judgements
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write data/judgements/KEY; what was answered before a stop is not asked again."""
    from truing.judges import JudgeContext
    from truing.judges.cache import ReplyCache

    source = stage.need("responses")
    peers = [node for node in stage.project.nodes("judge").values() if node.config == stage.node.config]
    with closing(ReplyCache(stage.layout.scratch / "judges.sqlite")) as cache:
        context = JudgeContext(
            key=stage.key,
            root_seed=stage.root_seed,
            items=lambda: read_jsonl(source / "items.jsonl"),
            answers=lambda: records(source / "answers.parquet"),
            items_digest=read_json(source / "meta.json")["items_digest"],
            cache=cache,
            # A run's budget is spread over its nodes, so that a stop leaves every condition judged alike.
            share=1 / len(peers),
            progress=True,
        )
        cfg = stage.plugin.configure(stage.values, f"params.yaml: judges.{stage.node.config}")
        meta = {"key": stage.key, "judge": stage.node.config, "params": cfg.model_dump(mode="json"), "inputs": stage.inputs()}
        facts = stage.plugin.target.facts(cfg)
        write_judgements(stage.layout.judgements(stage.key), stage.plugin.target.judgements(cfg, context), {**meta, **facts})


if __name__ == "__main__":
    run("judge", main)
