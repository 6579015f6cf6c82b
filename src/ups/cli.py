"""The command line; thin. torch is imported inside the commands, so that `ups --help` answers at once."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="ups",
    help="Neural simulators of physical systems, as a ladder of measured rungs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data = typer.Typer(help="Make data, look into a file, find leaks and bad values.", no_args_is_help=True)
app.add_typer(data, name="data")

Assignments = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings to change.")
]

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


@app.command()
def run(
    recipe: Annotated[
        str, typer.Argument(help="A name (burgers.quick), file.py:function, or a .yaml/.json file.")
    ],
    settings: Assignments = None,
    out: Annotated[Path | None, typer.Option(help="The run folder [default: runs/RECIPE].")] = None,
    tracker: Annotated[str, typer.Option(help="Also log to trackio, tensorboard or wandb.")] = "none",
) -> None:
    """Train every stage, evaluate the ladder, write the report. Run again to resume."""
    from ups.config import digest, override
    from ups.recipes.find import find_run
    from ups.runs.kinds import run as run_recipe

    name, base = find_run(recipe)
    chosen = override(base, settings or [])
    folder = out or Path("runs") / (name if chosen == base else f"{name}-{digest(chosen, 8)}")
    run_recipe(chosen, folder, tracker)


@app.command()
def study(
    name: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A name (studies.burgers_optimizer), file.py:function, or a .yaml/.json file.",
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY.PATH=VALUE]...",
            help="What to change of the study (seeds=[0,1,2,3]) or of the recipe it starts from "
            "(base.training.seconds=60).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the study [default: studies/STUDY].")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="Where the runs are carried out: local, or ray (a cluster, see RAY_ADDRESS).")
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Runs at a time on this machine [default: one a core; one on an accelerator]."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="VARIANT-seedSEED", help="Carry out one run of the study, and no report."),
    ] = None,
) -> None:
    """Run variants of a recipe over paired seeds, say which is better. Run again to resume."""
    from ups.config import digest, override
    from ups.recipes.find import find_study
    from ups.studies.run import one_cell
    from ups.studies.run import study as run_study
    from ups.studies.side_by_side import Asked, choose, end_with_the_parent

    found, definition = find_study(name)
    chosen = override(definition, settings or [])
    folder = out or Path("studies") / (found if chosen == definition else f"{found}-{digest(chosen, 8)}")
    if only:
        end_with_the_parent()
        one_cell(chosen, folder, only)
    else:
        run_study(chosen, folder, *choose(engine, Asked(name, tuple(settings or ())), chosen, workers))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of finished runs.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the page [default: comparisons/RUN-RUN].")
    ] = None,
    rates: Annotated[
        Path | None, typer.Option(help="A settings file of what an hour costs: per_hour, currency.")
    ] = None,
) -> None:
    """Put runs side by side: what differs, paired changes rung by rung, trainings, costs."""
    from ups.files import made_whole, require_home, require_outside
    from ups.studies.compare import compare as compare_runs
    from ups.studies.compare_page import NAME, findings, read_rates, write_comparison

    folder = out or Path("comparisons") / "-".join(run.resolve().name for run in runs)[:200]
    require_outside(folder)
    require_home(folder, (NAME,))
    prices = read_rates(rates) if rates else None
    found = compare_runs(runs)
    with made_whole(folder) as temporary:
        write_comparison(found, temporary, prices)
    for line in findings(found):
        typer.echo(line)
    typer.echo(f"report: {folder / 'report.html'}", err=True)


@app.command()
def board(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Where runs and studies lie [default: runs studies]."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of the page.")] = Path("board"),
    serve: Annotated[
        bool, typer.Option(help="Show the page to this machine's browser, until Ctrl-C.")
    ] = False,
) -> None:
    """Put all runs and studies on one page: leaderboards of equal questions, verdicts, runs to compare."""
    from ups.studies.board import collect
    from ups.studies.board_page import serve_page, write_board

    found = collect(folders or [Path(name) for name in ("runs", "studies") if Path(name).is_dir()])
    page = write_board(found, out)
    typer.echo(f"board: {page}", err=True)
    if serve:
        serve_page(page, lambda address: typer.echo(f"{address} (Ctrl-C ends it)", err=True))


@app.command("list")
def list_recipes() -> None:
    """Show the recipes and the studies, one line each."""
    from ups.recipes.find import describe_recipes, describe_studies

    for name, line in describe_recipes():
        typer.echo(f"{name:28} {line}")
    for name, line in describe_studies():
        typer.echo(f"{name:28} study: {line}")


@app.command()
def show(
    recipe: Annotated[
        str, typer.Argument(help="A name (burgers.quick), file.py:function, or a .yaml/.json file.")
    ],
    settings: Assignments = None,
) -> None:
    """Show a recipe's settings and their meaning, its rungs, and what a run takes on this machine."""
    from ups.config import override
    from ups.recipes.find import find_run
    from ups.reports.wording import count, duration
    from ups.runs.settings import Run
    from ups.runs.show import estimates, memory_gb, settings_lines

    chosen = override(find_run(recipe)[1], settings or [])
    lines = list(settings_lines(chosen))
    for line in lines:
        typer.echo(f"{line.path + '=' + line.value:46} {line.meaning}")
    if isinstance(chosen, Run):
        found = estimates(chosen)
        typer.echo(
            f"\n{'rung':18} {'kind':10} {'stands on':12} {'parameters':>10} {'updates':>8} {'training':>12}"
        )
        for each in found:
            trained = (count(each.updates), duration(each.seconds)) if each.updates else ("", "")
            typer.echo(
                f"{each.name:18} {each.kind:10} {each.on:12} {count(each.num_parameters):>10} "
                f"{trained[0]:>8} {trained[1]:>12}"
            )
        total = duration(sum(each.seconds for each in found))
        typer.echo(
            f"training: about {total} on this machine; memory: about {memory_gb(chosen, found):.2g} GB"
        )


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    settings: Assignments = None,
    file: Annotated[
        Path | None, typer.Option("--data", help="A file of any format; all of it is test data.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write [default: RUN/evaluations/FILE].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the evaluation in --out.")] = False,
) -> None:
    """Evaluate the ladder of a finished run on other data."""
    from ups.runs.reevaluate import evaluate as evaluate_run

    evaluate_run(folder, file, settings or [], out, force)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    input: Annotated[Path, typer.Option(help="Trajectories in any format that `ups data inspect` reads.")],
    output: Annotated[Path, typer.Option(help="The forecast, in the same format.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="How to read: stride_space=4 stride_time=5."),
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="Ensemble members.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Frames to forecast.")] = 40,
    start: Annotated[int, typer.Option(help="The frame to start from; -1 is the last one.")] = -1,
    stepper: Annotated[str, typer.Option(help="The rung that forecasts.")] = "operator",
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Accept a grid, dt or parameter outside the training; replace an output."
        ),
    ] = False,
) -> None:
    """Roll out your own trajectories."""
    from ups.data.find import source_for
    from ups.runs.predict import predict as predict_file

    chosen = [text.removeprefix("data.") for text in settings or []]
    predict_file(
        folder,
        source_for(input, chosen),
        output,
        num_steps=steps,
        start=start,
        num_members=members,
        stepper=stepper,
        force=force,
    )
    typer.echo(f"{output}: {steps} frames")


@app.command()
def probe(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="How to measure: num_vectors=64 precision=float64."),
    ] = None,
) -> None:
    """Measure curvature and gradients of a finished run, every trained stage."""
    from ups.runs.probe import probe as probe_run

    typer.echo(probe_run(folder, settings or [], typer.echo))


@app.command()
def control(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run of a world model.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="num_episodes=100 stepper=world_mean."),
    ] = None,
) -> None:
    """Steer the true system by plans that a world model makes, against the solver's plans and none."""
    from ups.runs.control import control as control_run

    typer.echo(control_run(folder, settings or []))


@data.command("make")
def data_make(
    output: Annotated[Path, typer.Argument(help="The HDF5 file to write, in PDEBench's layout.")],
    settings: Assignments = None,
    force: Force = False,
) -> None:
    """Generate trajectories with our solvers, e.g. equation=burgers nu=0.001 num_trajectories=100, or forcing={}."""
    from ups.config import override
    from ups.data.pdebench import write_pdebench
    from ups.data.simulated import Simulated
    from ups.files import require_output
    from ups.progress import bar

    require_output(output, force=force)
    source = override(Simulated(), settings or [])
    with bar("making trajectories") as progress:
        trajectory = source.load(progress=progress)
    write_pdebench(output, trajectory.values, trajectory.fields, trajectory.params, equation=source.equation)
    typer.echo(f"{output}: {len(trajectory)} trajectories")


ReaderSettings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help='How to read: boundary=periodic, or for arrays of your own dims="sample time x y" fields=[u].',
    ),
]


@data.command("inspect")
def data_inspect(
    file: Annotated[Path, typer.Argument(help="A file of PDEBench, The Well, or arrays of your own.")],
    settings: ReaderSettings = None,
) -> None:
    """Show format, equation, grid, boundaries, parameters and ranges of a file."""
    from ups.data.find import source_for
    from ups.data.inspect import inspect
    from ups.progress import bar

    (layout,) = source_for(file, settings or []).layouts()
    with bar("reading") as progress:
        summary = inspect(layout, progress)
    for name, value in summary.items():
        typer.echo(f"{name:22} {value}")


@data.command("check")
def data_check(
    words: Annotated[
        list[str],
        typer.Argument(metavar="FILE... [KEY=VALUE]...", help="Files, and how to read them (boundary=wall)."),
    ],
) -> None:
    """Find NaN, constant frames, repeated initial conditions and conservation drift; exit 2 on an error."""
    from ups.data.check import check
    from ups.data.find import source_for
    from ups.progress import bar

    files = [Path(word) for word in words if "=" not in word or Path(word).exists()]
    settings = [word for word in words if Path(word) not in files]
    sources = [source_for(file, settings) for file in files]
    with bar("checking") as progress:
        findings = check(sources, progress=progress)
    for finding in findings:
        typer.echo(f"{finding.severity:8} {finding.where}: {finding.what}")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(2)
    if not findings:
        typer.echo("no findings")


@data.command("export")
def data_export(
    file: Annotated[Path, typer.Argument(help="What to read, as for inspect.")],
    output: Annotated[Path, typer.Argument(help="The file to write.")],
    settings: ReaderSettings = None,
    format: Annotated[str, typer.Option(help="well, pdebench or npz.")] = "well",
    force: Force = False,
) -> None:
    """Write the trajectories of a file in another format."""
    from ups.data.export import FORMATS
    from ups.data.find import source_for
    from ups.files import require_output
    from ups.progress import bar
    from ups.types import UserError

    if format not in FORMATS:
        raise UserError(f"--format {format}: {', '.join(FORMATS)} can be written")
    require_output(output, [file], force)
    source = source_for(file, settings or [])
    with bar("reading") as progress:
        trajectory = source.load(progress=progress)
    FORMATS[format](output, trajectory, source.layouts()[0].equation, None)
    typer.echo(f"{output}: {len(trajectory)} trajectories")


def main() -> None:
    """Run the command line. Exit 0: done; 2: the user's input is at fault, in one line; 1: a failure of ours."""
    try:
        code = app(prog_name="ups", standalone_mode=False)
    except Exception as error:
        from ups.faults import explain

        code, line = explain(error)
        typer.echo(line, err=bool(code))
        sys.exit(code)
    if code == 128 + signal.SIGINT:
        typer.echo("interrupted; the same command goes on where it was", err=True)
    sys.exit(code)
