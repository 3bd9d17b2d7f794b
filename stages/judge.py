"""judge KEY: judge the answers of one respond node."""

from contextlib import closing

from truing.planning.artifacts import write_judgements
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write data/judgements/KEY; what was answered before a stop is not asked again."""
    from truing.planning.judging import judge_context, reply_cache

    cfg = stage.plugin.configure(stage.values, f"params.yaml: judges.{stage.node.config}")
    meta = {"key": stage.key, "judge": stage.node.config, "params": cfg.model_dump(mode="json"), "inputs": stage.inputs()}
    with closing(reply_cache(stage.project)) as cache:
        rows = stage.plugin.target.judgements(cfg, judge_context(stage.project, stage.key, cache, progress=True))
        write_judgements(stage.layout.judgements(stage.key), rows, {**meta, **stage.plugin.target.facts(cfg)})


if __name__ == "__main__":
    run("judge", main)
