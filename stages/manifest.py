"""manifest KEY: turn evidence into document weights."""

from truing.core.files import read_json, read_jsonl
from truing.core.seeds import stream
from truing.core.tables import read_parquet
from truing.planning.artifacts import task_of, write_manifest
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write data/manifests/KEY.parquet, then KEY.meta.json."""
    import pandas as pd

    from truing.strategies import StrategyContext
    from truing.strategies.weigh import weigh

    task = task_of(read_json(stage.need("card")))
    evidence, source = stage.dep("evidence"), stage.dep("source")
    docs = pd.DataFrame([(row["doc_id"], row["label"]) for row in read_jsonl(stage.need("corpus"))], columns=["doc_id", "label"])
    context = StrategyContext(
        docs=docs,
        evidence=read_parquet(evidence) if evidence else None,
        source=read_parquet(source) if source else None,
        labels=task.names if task else [],
        rng=stream(stage.root_seed, "manifest", stage.key),
    )
    share = stage.project.settings.run.min_ess_share
    made = weigh(stage.key, stage.plugin.name, stage.values, context, min_ess_share=share)
    write_manifest(stage.layout.manifest(stage.key), made.frame, made.meta, stage.inputs())


if __name__ == "__main__":
    run("manifest", main)
