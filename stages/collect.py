"""collect all: fill the declared grid of results; the summary is written last."""

from truing.core.files import atomic_folder, write_json
from truing.core.tables import write_parquet
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write metrics/results.parquet, plots/, sketches.json and summary.json."""
    from truing.report.collect import collect
    from truing.report.gather import gather, sketches, summarise
    from truing.report.plots import plot_tables
    from truing.report.summary import headline

    metrics = stage.layout.metrics
    results = collect(gather(stage.project), "metrics/results.parquet")
    cells, differences = summarise(stage.project, results)
    write_parquet(metrics / "results.parquet", results)
    with atomic_folder(metrics / "plots") as folder:
        for name, table in plot_tables(results, cells).items():
            table.to_csv(folder / name, index=False, lineterminator="\n")
    write_json(metrics / "sketches.json", sketches(stage.project))
    write_json(metrics / "summary.json", headline(cells, differences, stage.project.settings.report.headline))


if __name__ == "__main__":
    run("collect", main)
