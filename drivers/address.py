"""Addresses of instruments: `tcp://HOST:PORT`, `udp://HOST:PORT`, `zmq://HOST:PORT`, `serial:PATH`,
`visa:RESOURCE`, `usb:SERIAL_NUMBER`.

Options of a model follow as a query: `tcp://10.0.0.7:1998?monitor=1999`.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

SCHEMES = ("tcp", "udp", "zmq", "serial", "visa", "usb")
PATHS = {"serial": "device path", "visa": "resource", "usb": "serial number"}
"""What the path of an address is, for the schemes that have one."""


@dataclass(frozen=True)
class Address:
    """Where an instrument is. `host` and `port` are set for `tcp`, `udp` and `zmq`, `path` for
    `serial` (a device path), `visa` (a VISA resource name) and `usb`: the serial number of an instrument
    that only its maker's library can reach."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address. Raises ValueError with the form that is expected."""
        scheme, colon, rest = text.partition(":")
        if not colon or scheme not in SCHEMES:
            raise ValueError(
                f"{text!r} is not an address: write tcp://HOST:PORT, udp://HOST:PORT, zmq://HOST:PORT, "
                "serial:/dev/PATH, visa:RESOURCE or usb:SERIAL_NUMBER"
            )
        rest, _, query = rest.partition("?")
        options = dict(parse_qsl(query))
        if scheme in PATHS:
            if not rest:
                raise ValueError(f"{text!r} names no {PATHS[scheme]}")
            return cls(scheme, path=rest, options=options)
        host, _, port = rest.removeprefix("//").rpartition(":")
        if not rest.startswith("//") or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not an address: write {scheme}://HOST:PORT")
        return cls(scheme, host=host, port=int(port), options=options)

    def __str__(self) -> str:
        where = f"//{self.host}:{self.port}" if self.host else self.path
        query = "&".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.scheme}:{where}" + (f"?{query}" if query else "")
