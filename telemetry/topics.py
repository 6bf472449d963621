"""The topic tree of version 1: where each message stands.

    <root>/v1/<site>/<node>/status                                  presence of a control process
    <root>/v1/<site>/<node>/<device>/{tele,state,event,meta,alarm}  one instrument
    <root>/v1/<site>/run/<id>/{state,result}                        one run
    <root>/v1/<site>/run/<id>/{command,answer}                      requests to it, and what became of them

The depth is fixed, so that subscribers such as Telegraf take the tags from the topic. `site` is the name
of the testbed. `run` in the place of a node is reserved. The figures of a run as a whole (rates, S) stand
under the device `run` of the controlling node, so that a dashboard's topics stay the same from run to run;
the payload's field `run` says which run they belong to.
"""

import re
from dataclasses import dataclass

VERSION = "v1"
RUN = "run"
"""In the place of a node: one run by its id. In the place of a device: the run as a whole."""


def level(name: str) -> str:
    """`name` as one topic level: anything but letters, digits, `_`, `.` and `-` becomes `_`. Never empty."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name) or "_"


def node_level(name: str) -> str:
    """`name` as the level of a node; the reserved word `run` becomes `run_`."""
    fitted = level(name)
    return f"{fitted}_" if fitted == RUN else fitted


@dataclass(frozen=True)
class Place:
    """Where a message stands below `<root>/v1/`. A node's own status has an empty `device`."""

    site: str
    node: str
    device: str
    kind: str


@dataclass(frozen=True)
class Topics:
    """The topics of one site. Names are fitted with `level`, so that no name can break the tree."""

    root: str
    site: str

    def status(self, node: str) -> str:
        """Presence of the process that controls `node`; retained, with the last will."""
        return f"{self._base}/{node_level(node)}/status"

    def device(self, node: str, device: str, kind: str) -> str:
        """A device of a node; `kind` is tele, state, event, meta or alarm."""
        return f"{self._base}/{node_level(node)}/{level(device)}/{kind}"

    def run(self, run: str, kind: str) -> str:
        """One run; `kind` is state, result, command or answer."""
        return f"{self._base}/{RUN}/{level(run)}/{kind}"

    @property
    def _base(self) -> str:
        return f"{self.root.strip('/')}/{VERSION}/{level(self.site)}"


def everything(root: str) -> str:
    """The filter for all messages of all sites under `root`."""
    return f"{root.strip('/')}/{VERSION}/#"


def parse(root: str, topic: str) -> Place | None:
    """Where `topic` stands, or None when it is not one of this contract's."""
    prefix = f"{root.strip('/')}/{VERSION}/"
    if not topic.startswith(prefix):
        return None
    match topic.removeprefix(prefix).split("/"):
        case [site, node, "status"]:
            return Place(site, node, "", "status")
        case [site, node, device, kind]:
            return Place(site, node, device, kind)
        case [site, "run", run, "answer", _]:
            return Place(site, RUN, run, "answer")
    return None
