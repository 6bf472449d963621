"""`bellbench tags info`: what a tag file is, and what is in it."""

import json
from collections.abc import Iterator
from typing import Any

import click

from bellbench.commands.tags.options import as_json, tag_file
from bellbench.text import rate
from drivers.units import format_si


@click.command()
@tag_file
@as_json
def info(file: str, format_: str | None, as_json: bool) -> None:
    """Say what FILE is: format, duration, channels with counts and rates, and what is damaged.

    The whole file is read.
    """
    from bellbench.commands.tags.reading import Reading

    reading = Reading(file, format_)
    reading.through()
    about = reading.file.info
    seconds = reading.duration_s
    channels = [
        {
            "channel": channel,
            "meaning": about.channels.get(channel, ""),
            "tags": tags,
            "rate_hz": tags / seconds if seconds else None,
        }
        for channel, tags in reading.counts().items()
    ]
    facts = reading.facts() | {
        "size_bytes": about.size_bytes,
        "resolution_ps": about.resolution_ps,
        "start_ps": reading.start_ps,
        "end_ps": reading.end_ps,
        "channels": channels,
        "header": {name: str(value) for name, value in about.header.items()},
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo("\n".join(_text(facts)))
    reading.tell()


def _text(facts: dict[str, Any]) -> Iterator[str]:
    yield f"{facts['file']}: {facts['format']}"
    step = facts["resolution_ps"]
    steps = f", in steps of {step:g} ps" if step else ""
    yield f"{facts['tags']:,} tags in {facts['size_bytes'] / 1e6:,.1f} MB{steps}"
    yield f"{format_si(facts['duration_s'], 's')} long"
    if not facts["channels"]:
        return
    yield "channel            tags            rate"
    for entry in facts["channels"]:
        line = f"{entry['channel']:7}  {entry['tags']:14,}  {rate(entry['rate_hz']):>14}  {entry['meaning']}"
        yield line.rstrip()
