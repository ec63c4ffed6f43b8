"""Figures of artifacts: gathers the pictures and arrays that runs saved, and has them laid out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from retable.bench.judging import views
from retable.bench.judging.views import Cell, Result
from retable.bench.report import arrays, mosaic
from retable.bench.report.drawn import Drawn, Job
from retable.bench.store.digests import Damaged
from retable.bench.suite.schema import Arrays, Images
from retable.bench.suite.values import text


def images(job: Job[Images]) -> Drawn:
    """The picture of each cell's first finished seed, of a collapsed one where none finished."""
    figure, artifact = job.figure, job.figure.artifact
    job, said = _placed(job)
    first = [_any_run(job, label, path) for label, path in figure.also.items()]
    if figure.rows and figure.columns:
        rows, columns = job.values(figure.rows), job.values(figure.columns)
        beside = [dict(job.yardsticks({figure.rows: r}, figure.columns)) for r in rows]
        references = list(dict.fromkeys(label for several in beside for label in several))
        grid = [
            [_tile(job, job.at({figure.rows: r, figure.columns: c}), artifact, "") for c in columns]
            + [_tile(job, several.get(label), artifact, "") for label in references]
            for r, several in zip(rows, beside, strict=True)
        ]
        sheet = mosaic.Sheet(
            first,
            grid,
            [job.named(figure.rows, r) for r in rows],
            [*(job.named(figure.columns, c) for c in columns), *map(_reference, references)],
        )
        labelled = [
            mosaic.Tile(f"{sheet.row_labels[i]}, {sheet.column_labels[j]} {tile.label}".strip(), tile.image, tile.why)
            for i, row in enumerate(grid)
            for j, tile in enumerate(row)
        ]
    else:
        along = figure.rows or figure.columns
        if along:
            labelled = [_tile(job, job.at({along: v}), artifact, job.named(along, v)) for v in job.values(along)]
        else:
            names = views.varying(job.cells)
            labelled = [
                _tile(job, c, artifact, views.describe(c, names, figure.labels) or figure.title) for c in job.cells
            ]
        labelled += [_tile(job, cell, artifact, _reference(label)) for label, cell in job.yardsticks()]
        sheet = mosaic.Sheet([], mosaic.lines([*first, *labelled], figure.wrap))
    every = [*first, *labelled]
    gaps = tuple(f"{tile.label or 'a picture'}: {tile.why}" for tile in every if tile.why)
    tiles = tuple((tile.label, mosaic.encode(tile.image)) for tile in every if tile.image is not None)
    if not tiles:
        return job.undrawn("; ".join(gaps))
    reading = "; ".join(filter(None, [job.one_seed(), mosaic.enlarged(sheet), said]))
    alt = f"{figure.title}: {', '.join(label for label, _ in tiles)}"
    return job.drawn(mosaic.compose(sheet), alt, tiles=tiles, gaps=gaps, reading=reading)


def _placed(job: Job[Images]) -> tuple[Job[Images], str]:
    """The job with the references in the grid that have a value of both its axes, and what is said of them."""
    axes = (job.figure.rows, job.figure.columns)
    here = [c for c in job.references if all(axis and c.get(axis) is not None for axis in axes)]
    rest = [c for c in job.references if not any(c is own for own in here)]
    said = replace(job, references=here).references_said
    return replace(job, cells=[*here, *job.cells], references=rest), said


def _reference(label: str) -> str:
    return f"{label} (reference)"


def _tile(job: Job[Images], cell: Cell | None, artifact: str, label: str) -> mosaic.Tile:
    """The picture of a cell."""
    if cell is None:
        return mosaic.Tile(label, None, f"not part of scale {job.book.scale}")
    trial, label = _stands_for(cell, label)
    if trial is None:
        return mosaic.Tile(label, None, views.trouble(cell.trials[0]))
    try:
        return _picture(job, label, trial.run_id, artifact)
    except FileNotFoundError:
        return mosaic.Tile(label, None, f"the run saved no {artifact}")


def _stands_for(cell: Cell, label: str) -> tuple[Result | None, str]:
    """The first finished seed of a cell, or the first collapsed one, which the label then says."""
    for trial in cell.in_state("finished"):
        return trial, label
    for trial in cell.in_state("collapsed"):
        return trial, f"{label} (collapsed)".strip()
    return None, label


def _any_run(job: Job[Images], label: str, artifact: str) -> mosaic.Tile:
    runs = [t for c in job.cells for t in c.in_state("finished", "collapsed")]
    broken: mosaic.Tile | None = None
    for trial in runs:
        try:
            tile = _picture(job, label, trial.run_id, artifact)
        except FileNotFoundError:
            continue
        if tile.image is not None:
            return tile
        broken = broken or tile
    return broken or mosaic.Tile(label, None, f"no run saved {artifact}" if runs else "not run")


def _picture(job: Job[Images], label: str, run_id: str, artifact: str) -> mosaic.Tile:
    """A picture that a run saved, or what is wrong with it. Raises FileNotFoundError where there is none."""
    try:
        return mosaic.Tile(label, mosaic.load(job.book.results.artifact(run_id, artifact)), "")
    except (ValueError, Damaged) as error:
        return mosaic.Tile(label, None, _unreadable(job, run_id, artifact, error))


def _unreadable(job: Job[Any], run_id: str, artifact: str, error: OSError | ValueError | Damaged) -> str:
    """What is wrong with an artifact, and the command that makes it again."""
    which = f"{job.book.suite.suite} --scale {job.book.scale}"
    if isinstance(error, Damaged):
        return (
            f"the run's {error.path} {error.what}; its trial is to be run again: bench verify {which} --repair and "
            f"bench run {which} make it again"
        )
    what = error.strerror if isinstance(error, OSError) else error
    again = f"Delete run {run_id} in bench ui, and bench run {which} makes it again"
    return f"the run's {artifact} cannot be read: {what}. {again}"


def array_lines(job: Job[Arrays]) -> Drawn:
    """The arrays of each row's finished seeds, of a collapsed one where none finished."""
    figure, panels = job.figure, job.figure.arrays
    rows = [_row(job, job.named(figure.rows, v), job.at({figure.rows: v})) for v in job.values(figure.rows)]
    rows += [_row(job, _reference(label), cell) for label, cell in job.yardsticks()]
    gaps = tuple(f"{row.label or figure.title}: {row.why}" for row in rows if row.why)
    if all(row.why for row in rows):
        return job.undrawn("; ".join(gaps))
    alt = f"{figure.title}: {', '.join(panel.title for panel in panels)}"
    seeds = max(1 + len(row.others) for row in rows)
    reading = [f"median of {seeds} seeds, bands from the lowest to the highest" if seeds > 1 else job.one_seed()]
    if any(panel.published for panel in panels):
        reading.append("diamonds: the published values")
    return job.drawn(arrays.draw(rows, panels, figure.by), alt, gaps=gaps, reading="; ".join(filter(None, reading)))


def _row(job: Job[Arrays], label: str, cell: Cell | None) -> arrays.Row:
    """The arrays of a row's cell."""
    figure = job.figure
    if cell is None:
        return arrays.Row(label, {}, f"not part of scale {job.book.scale}")
    trial, label = _stands_for(cell, label)
    if trial is None:
        return arrays.Row(label, {}, views.trouble(cell.trials[0]))
    value = text(cell.get(figure.rows)) if figure.rows else ""
    try:
        row = arrays.Row(label, _arrays(job, trial), value=value)
    except FileNotFoundError:
        return arrays.Row(label, {}, f"the run saved no {figure.artifact}")
    except (OSError, ValueError, Damaged) as error:
        return arrays.Row(label, {}, _unreadable(job, trial.run_id, figure.artifact, error))
    if why := arrays.lacking(row, figure.arrays, figure.by):
        return replace(row, why=why)
    others = []
    for other in cell.in_state(trial.state):
        if other is not trial:
            # A broken file is told where it is the only one; here the row has what the other seeds say.
            with suppress(OSError, ValueError, Damaged):
                found = _arrays(job, other)
                others += [found] if arrays.alike(row, found, figure.arrays, figure.by) else []
    return replace(row, others=others)


def _arrays(job: Job[Arrays], trial: Result) -> dict[str, arrays.Array]:
    """What a run saved. Raises FileNotFoundError where there is none, others of `_row` where it cannot be read."""
    return arrays.read(job.book.results.artifact(trial.run_id, job.figure.artifact).read_bytes())
