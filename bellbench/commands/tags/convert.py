"""`bellbench tags convert`: write a tag file anew in a format that other programs read."""

import json
from contextlib import closing
from pathlib import Path

import click

from bellbench.commands.tags.options import as_json, tag_file
from experiments.config.problems import choices


@click.command()
@tag_file
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to", metavar="NAME", help="ptu, csv, h5, npz, npy, parquet or segments; by default, as OUT ends."
)
@click.option("--force", is_flag=True, help="Replace OUT if it is there.")
@as_json
def convert(file: str, format_: str | None, out: Path, to: str | None, force: bool, as_json: bool) -> None:
    """Write the tags of FILE to OUT as PTU, CSV, HDF5, numpy arrays, or a folder of segments.

    OUT appears when it is complete: Ctrl-C leaves nothing half written.
    """
    from bellbench.commands.tags.reading import Reading, Refused
    from timetags.files.export import EXPORTS, export_tags

    name = to or out.suffix.removeprefix(".").lower() or "segments"
    if name not in EXPORTS:
        raise Refused(f"no format {name!r} to write tags in; {choices(name, EXPORTS)}")
    if out.exists() and not force:
        raise Refused(f"{out} is there already; --force replaces it")
    reading = Reading(file, format_)
    if out.exists() and out.samefile(file):
        raise Refused(f"{out} is the file to read")
    try:
        with closing(reading.blocks()) as blocks:
            tags = export_tags(blocks, out, name)
    except ImportError as error:
        raise Refused(
            f"{name} needs {error.name}, which is not installed: pip install {error.name}"
        ) from error
    except (ValueError, FileExistsError) as error:
        raise Refused(f"{out}: {error}") from error
    except FileNotFoundError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from error
    if as_json:
        click.echo(
            json.dumps(reading.facts() | {"written": str(out), "to": name, "written_tags": tags}, indent=2)
        )
        return
    click.echo(f"{tags:,} tags written to {out}")
    reading.tell()
