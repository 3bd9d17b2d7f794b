"""report site: write the pages."""

from truing.core.files import atomic_folder, write_bytes
from truing.core.tables import read_parquet
from truing.planning.stage import Stage, run


def main(stage: Stage) -> None:
    """Write metrics/report/."""
    from truing.report import render
    from truing.report.gather import report_inputs

    inputs = report_inputs(stage.project, read_parquet(stage.layout.metrics / "results.parquet"))
    with atomic_folder(stage.layout.report) as folder:
        for name, content in sorted(render(inputs).items()):
            write_bytes(folder / name, content)


if __name__ == "__main__":
    run("report", main)
