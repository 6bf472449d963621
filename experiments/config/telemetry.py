"""Where telemetry goes, as whom, and what may be asked of a run from there."""

from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from experiments.config.model import Part, Text
from experiments.config.problems import show_value
from experiments.config.references import Reference

SCHEMES = ("mqtt", "mqtts")


def _broker(url: str) -> str:
    example = "write mqtt://HOST:PORT, like mqtt://localhost:1883"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{show_value(url)} is no address of a broker: {error}; {example}") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            f"no user or password in the address of a broker, they have keys of their own; {example}"
        )
    whole = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in SCHEMES or not parts.hostname or port == 0 or url != whole:
        raise ValueError(f"{show_value(url)} is no address of a broker; {example}, or mqtts:// for TLS")
    return url


def _root(topic: str) -> str:
    if not topic or any(not level or set(level) & set("+#\0") for level in topic.split("/")):
        raise ValueError(f"{show_value(topic)} is no MQTT topic to begin with; allowed: words with / between")
    return topic


def _whole_path(path: str) -> str:
    if not PurePosixPath(path).is_absolute() and not path.startswith("~/"):
        raise ValueError(f"{show_value(path)} is not a whole path; write it like /etc/bellbench/ca.crt")
    return path


FileName = Annotated[Text, AfterValidator(_whole_path)]


class Telemetry(Part):
    """Where telemetry goes. Without `broker`, to one inside bellbench that listens on this machine only.

    `ca`, `certificate` and `key` are PEM files for a broker with TLS: the authority that its certificate must
    come from (without one, those of the system), and what we show of ourselves. `commands` are what others
    may ask of the run over MQTT; there is none that adds energy, and by default none at all.
    """

    broker: Annotated[str, AfterValidator(_broker)] | None = None
    root: Annotated[str, AfterValidator(_root)] = "bellbench"
    username: Reference | None = None
    password: Reference | None = None
    ca: FileName | None = None
    certificate: FileName | None = None
    key: FileName | None = None
    commands: tuple[Literal["pause", "stop", "safe", "acknowledge"], ...] = ()

    @model_validator(mode="after")
    def _tls_needs_mqtts(self) -> "Telemetry":
        given = [name for name in ("ca", "certificate", "key") if getattr(self, name) is not None]
        if given and not (self.broker or "").startswith("mqtts://"):
            raise ValueError(f"{given[0]} is for a broker with TLS; write mqtts://HOST:PORT as its address")
        if self.key is not None and self.certificate is None:
            raise ValueError("a key belongs to a certificate; give its file too")
        return self
