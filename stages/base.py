"""base KEY: pin a base model file by file, or build one."""

from truing.core.files import atomic_folder, read_json, read_jsonl
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write models/base/KEY."""
    from truing.models.base import build_base
    from truing.models.sources import BuildContext

    corpus, card = stage.dep("corpus"), stage.dep("card")
    context = BuildContext(
        key=stage.key,
        root_seed=stage.root_seed,
        project=stage.layout.root,
        card=read_json(card) if card else None,
        rows=(lambda: read_jsonl(corpus)) if corpus else None,
    )
    with atomic_folder(stage.layout.base(stage.key)) as target:
        build_base(stage.key, stage.plugin.name, stage.values, target, context)


if __name__ == "__main__":
    run("base", main)
