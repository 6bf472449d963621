"""What is fuzzed: every parser of bytes, in the drivers, in the simulated instruments, of tag files, of
configuration, of the record of a run, and of telemetry.

A target takes any bytes and returns, or raises when something is wrong: an exception that the parser does not
promise, a decoder that finds something else when the same bytes come in other pieces, a block of tags that is
out of order. `seeds` are inputs to begin with: examples of the protocol notes, or messages made here.
`__main__` lets atheris search; `test_fuzz_targets.py` tries the seeds and a few hundred inputs in the suite.
"""

import json
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np

from drivers.detectors.sim900 import MainframeFrames
from drivers.lasers.itla_packet import AnswerDecoder, Request
from drivers.lasers.koheras_telegram import Telegram, TelegramDecoder
from drivers.optics.agiltron_cl import FrameDecoder
from drivers.polarization.apt_decoder import AptDecoder
from drivers.time_taggers.tag_stream import InputStream, merge
from drivers.time_taggers.tdc1_stream import Line, Tdc1Decoder, WordReader
from drivers.timing.snmp import GetRequest, Response, name
from experiments.archive.journal import parse
from experiments.config.files import load, load_testbed
from experiments.config.overrides import read_override
from experiments.config.problems import ConfigError, Problem
from experiments.config.sweep import read_sweep
from sim_instruments import catalog as simulators
from sim_instruments.instrument import Placed, SimInstrument
from sim_instruments.ports import Ports
from sim_instruments.wire.pty import SerialLine
from sim_instruments.wire.tcp import TcpServer
from sim_instruments.wire.udp import UdpServer
from telemetry.contract import KINDS
from telemetry.subscriber import read
from tests.timetags.files.packed import ptu_header
from timetags.files.manifest import MANIFEST, Segment, append_segment, read_manifest
from timetags.files.opening import open_tags
from timetags.files.tag_file import TagFileError

CONFIGS = Path(__file__).parents[2] / "configs"
ONE_OF_EACH = CONFIGS / "testbeds/one_of_each.yaml"
PERIOD_PS = 500_000_000_000


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    longest: int = 600
    """Bytes of an input; decoders that give up what has no end do so beyond it."""


class Decoder(Protocol):
    def feed(self, data: bytes, /) -> Iterable[Any]: ...


def pieces(data: bytes) -> Iterator[bytes]:
    """All but the first byte, in pieces whose size the first byte says."""
    size = data[0] + 1
    for begin in range(1, len(data), size):
        yield data[begin : begin + size]


def decode(new: Callable[[], Decoder], data: bytes) -> None:
    """What is found does not depend on how the bytes came."""
    whole, decoder = list(new().feed(data[1:])), new()
    assert [found for piece in pieces(data) for found in decoder.feed(piece)] == whole


def decode_telegrams(data: bytes) -> None:
    """As `decode`, and what was taken for a telegram is one: its own bytes are read back as the same."""
    decode(TelegramDecoder, data)
    for telegram in TelegramDecoder().feed(data[1:]):
        assert Telegram.from_bytes(telegram.to_bytes()) == telegram


def decode_snmp(data: bytes) -> None:
    with suppress(ValueError):
        Response.from_bytes(data[1:])


def stream_tdc1(data: bytes) -> None:
    """Lines, then words, then lines; every byte of the words is there, and time never runs backwards."""
    decoder, reader, reached = Tdc1Decoder(), WordReader((1, 2, 3, 4)), 0
    decoder.begin_stream("3")
    for number, piece in enumerate(pieces(data)):
        if number == 3:
            decoder.end_stream("TDC1")
        for found in decoder.feed(piece):
            if isinstance(found, Line):
                continue
            with suppress(ValueError):
                times, channels = reader.read(found.data)
                assert len(times) == len(channels)
                assert len(times) == 0 or reached <= times[0] <= times[-1] <= reader.reached_ps
                reached = reader.reached_ps


def stream_id900(data: bytes) -> None:
    """Messages of one input; what is merged has as many tags as came."""
    stream = InputStream(PERIOD_PS)
    for message in pieces(data):
        with suppress(ValueError):
            stream.feed(memoryview(message))
    stream.feed(memoryview(b""))
    # The driver takes the instrument's word that tags are sorted, but for the last of a message.
    times, channels = merge([stream.ended[0]], (1,), 0)
    assert len(times) == len(channels) == stream.tags


@cache
def scratch() -> Path:
    return Path(mkdtemp(prefix="fuzz", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "tags"


def read_file(kind: str, header: bytes, data: bytes) -> None:
    """A file is refused, or gives blocks that are in order, one after the other."""
    scratch().write_bytes(header + data[1:])
    with suppress(TagFileError):
        end = None
        for block in open_tags(scratch(), kind):
            assert block.start_ps <= block.end_ps
            assert end is None or block.start_ps >= end
            assert np.all(np.diff(block.times) >= 0)
            assert len(block) == 0 or block.start_ps <= block.times[0] <= block.times[-1] < block.end_ps
            end = block.end_ps


def read_record(data: bytes) -> None:
    """A journal gives what is whole and says what is missing; what its first half gives, all of it gives."""
    journal = parse(BytesIO(data))
    assert journal.problems or (journal.start and data.strip())
    begun = parse(BytesIO(data[: len(data) // 2].rpartition(b"\n")[0] + b"\n"))
    assert journal.events[: len(begun.events)] == begun.events
    assert journal.segments[: len(begun.segments)] == begun.segments


def read_lines_of_manifest(data: bytes) -> None:
    """A manifest gives lines of the right form, and goes on after whatever there is."""
    folder = scratch().parent / "segments"
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_bytes(data)
    before = read_manifest(folder)
    more = Segment("99999999.parquet", 1, 0, 10, 0, "0")
    append_segment(folder, more)
    assert read_manifest(folder) == {**before, more.file: more}


class Nobody:
    """Takes the answers of a simulated instrument that stands at no address."""

    def send(self, data: bytes) -> None:
        pass

    def drop(self) -> None:
        pass


@cache
def settings_of() -> dict[str, dict[str, Any]]:
    """The settings of each model on the bench of one of each."""
    instruments = load_testbed(ONE_OF_EACH).testbed.instruments.values()
    return {entry.model: entry.settings.model_dump() for entry in instruments}


simulator = cache(simulators.find)


def simulated(model: str) -> tuple[SimInstrument, Callable[[bytes], object]]:
    """An instrument, switched on, and what its wire hands over when something has come."""
    placed = Placed("fuzzed", model, settings_of()[model])
    sim = simulator(model).place(placed, Ports(), np.random.default_rng(1))
    for part in vars(sim).values():
        if isinstance(part, SerialLine):
            return sim, part._receive
        if isinstance(part, TcpServer):
            return sim, part.dialect(Nobody()).received
        if isinstance(part, UdpServer):
            return sim, part.answer
    raise TypeError(f"{model} has no wire that could be fuzzed")


def ask_simulated(model: str, framed: Callable[[bytes], bytes], data: bytes) -> None:
    """No request crashes the instrument, while time passes."""
    sim, received = simulated(model)
    for piece in pieces(data):
        received(framed(piece))
        sim.advance(0.05)


def as_telegram(piece: bytes) -> bytes:
    """A telegram with a right checksum, which no search would find, to the module or to another."""
    head = piece.ljust(3, b"\0")
    return Telegram(head[0] or 1, 0xA1, head[1], head[2], piece[3:240]).to_bytes()


def as_packets(piece: bytes) -> bytes:
    """Packets with right checksums."""
    parts = struct.iter_unpack(">BBH", piece[: len(piece) // 4 * 4])
    return b"".join(Request(register, value, bool(kind & 1)).to_bytes() for kind, register, value in parts)


@cache
def configs() -> Path:
    """A folder with the shipped testbeds, and room for a file beside them."""
    folder = Path(mkdtemp(prefix="fuzz"))
    shutil.copytree(CONFIGS / "testbeds", folder / "testbeds")
    return folder


def told(read: Callable[[], object]) -> None:
    """It reads something, or says what is wrong, which can be written down."""
    problems: Sequence[Problem] | None = None
    try:
        read()
    except ConfigError as error:
        problems = error.problems
    if problems is not None:
        assert problems
        assert all(map(str, problems))
        json.dumps([vars(problem) for problem in problems])


def load_config(data: bytes) -> None:
    """Whatever the bytes are, they are a good configuration or a ConfigError."""
    file = configs() / "fuzzed.yaml"
    file.write_bytes(data)
    told(lambda: load(file))


def change_config(data: bytes) -> None:
    """So are a value for a path and a sweep, as they stand on a command line."""
    text = data.decode(errors="surrogateescape")
    nyc = CONFIGS / "nyc_swapping.yaml"
    told(lambda: load(nyc, [read_override(text)]))
    told(lambda: load(nyc, sweep=read_sweep([text])))


def listen(data: bytes) -> None:
    """Whatever a broker keeps is passed over, or a message that can be shown; on a topic of the kind that the
    first byte says."""
    topic = KINDS[data[0] % len(KINDS)].topic.format(site="nyc", node="lab", device="pump", run="r1")
    if message := read("bellbench", f"bellbench/v1/{topic}", data[1:]):
        shown = {"run": message.stamp.run, "boot": message.stamp.boot, **message.fields}
        json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()
        f"{message.stamp.time.astimezone(LINE_ISLANDS):%H:%M:%S} {message.payload}".encode()


def example(text: str) -> bytes:
    """Bytes of a protocol note, to come in pieces of 256."""
    return b"\xff" + bytes.fromhex(text)


APT_ANSWERS = (  # thorlabs_mpc320.md and thorlabs_k10cr1.md, Examples
    "44 04 01 00 01 50 91 04 0e 00 81 50 01 00 ad 02 00 00 00 00 00 00 00 05 00 90",
    "64 04 0e 00 81 50 01 00 00 c0 5d 00 00 00 00 00 00 05 00 80 64 04 02 00 01 50",
)
APT_REQUESTS = (
    "05 00 00 00 50 01 10 02 01 01 50 01 43 04 01 00 50 01 53 04 06 00 d0 01 02 00 ad 02 00 00",
    "30 05 0c 00 d0 01 00 00 32 00 ad 02 32 00 32 00 32 00 6a 04 01 01 50 01 65 04 01 02 50 01",
    "53 04 06 00 d0 01 01 00 00 c0 5d 00 14 04 01 00 50 01 11 00 00 00 50 01",
)
KOHERAS = (  # nkt_koheras.md, Examples
    "0d a1 01 08 65 4b 31 37 32 32 41 30 37 1c 91 0a 0d a1 01 03 30 c8 f2 0a",
    "0d 01 a1 05 22 5e 4d 00 e7 2a 0a 0d a1 01 00 99 b9 62 0a",
)
KOHERAS_REQUESTS = ("01 04 61", "01 05 22 e8 03", "01 06 31 10 00")
ITLA = ("54 00 00 10 a6 02 00 0e 84 0b 50 75", "34 31 03 e8 d5 31 07 d0 64 00 00 13 e7 32 00 08")
ITLA_REQUESTS = ("00 00 00 00 00 02 00 00 01 31 03 e8", "01 35 00 c1 01 32 00 08 01 62 00 10")
TDC1 = "33 0d 0a c1 5d 00 00 02 58 f7 ff b0 00 00 00 54 44 43 31 0d 0a"  # sfifteen_tdc1.md, Examples
WEBSQ = (  # singlequantum_websq.md, Control
    b'{"request": "labelProps", "value": "None"}',
    b'{"command": "SetAllBiasCurrents", "label": "BiasCurrent", "value": [10.5, 11.0, 9.8, 0.0]}',
    b'{"command": "IVScanEnable", "label": "IVScanEnable", "value": true}',
)
SNMP_ASKED = GetRequest("public", 7, (name("1.3.6.1.4.1.96.100.6.1.1.0"),)).to_bytes()
SNMP_ANSWER = bytes.fromhex(
    "30 2c 02 01 01 04 06 70 75 62 6c 69 63 a2 1f 02 01 07 02 01 00 02 01 00 30 14"
    "30 12 06 0d 2b 06 01 04 01 60 64 06 01 01 00 00 00 02 01 01"
)
T2, T3, PICO_T2, PICO_T3 = 0x00010207, 0x00010307, 0x00010203, 0x00010303  # picoquant_tttr.md, Record types
DUMP = struct.pack("<BBHiqBBHiq", 0, 0, 0, 1, 5, 0, 0, 0, -2, 9)  # swabian_timetagger.md
EVENTS = struct.pack("<4Q", 1 << 10 | 1, 5 << 10 | 2, 6 << 10 | 0x10, 9 << 10 | 3)

LINE_ISLANDS = ZoneInfo("Pacific/Kiritimati")  # the first to have a new day
MESSAGE = b'"time":"2026-11-22T03:10:00Z","seq":1,"change":1,"boot":"b","run":"r1"}'
MESSAGES = (
    b'\0{"state":"ready",' + MESSAGE,
    b'\1{"state":"running","progress":1e999,' + MESSAGE,
    b'\2{"chsh_s":2.4,"chsh_s_error":' + b"9" * 400 + b"," + MESSAGE,
    b'\4{"driver":"d","power_w_unit":"W","power_w_high":0.06,' + MESSAGE,
    b'\5{"condition":"ready","power_w":0.02,' + MESSAGE,
)

FILES = ("nyc_swapping.yaml", "testbeds/star.yaml")
CHANGES = (
    b"settings.bsm_window=600 ps",
    b"settings.bsm_window=200 ps:1500 ps:5",
    b"plan[2].measure_swapping.bases=[ZZ, XX]",
    b"testbed.instruments.alice_pump.settings={max_power: 60 mW}",
    b"accept.chsh_s.above=2",
)

JOURNAL = b"""{"name":"start","doc":{"uid":"r","time":1.0}}
{"name":"descriptor","doc":{"uid":"d","run_start":"r","time":1.0,"name":"state","data_keys":{}}}
{"name":"event","doc":{"uid":"e","descriptor":"d","seq_num":1,"time":1.0,"data":{"t_s":0.0},"timestamps":{}}}
{"name":"stream_resource","doc":{"uid":"s","uri":"tags/heralds/"}}
{"name":"stream_datum","doc":{"stream_resource":"s","indices":{"start":0,"stop":5},"seq_nums":{"start":1,"stop":2}}}
{"name":"event","doc":{"uid":"f","descriptor":"d","seq_num":2,"time":2.0,"data":{"t_s":1.0},"timestamps":{}}}
"""
SEGMENTS = b"""{"file":"00000001.parquet","rows":5,"start_ps":0,"end_ps":10,"lost":0,"sha256":"ab"}
{"file":"00000002.parquet","rows":6,"start_ps":10,"end_ps":20,"lost":1,"sha256":"cd"}
"""

TARGETS = {
    "config": Target(load_config, [(CONFIGS / name).read_bytes() for name in FILES], 9000),
    "config_changes": Target(change_config, CHANGES),
    "apt": Target(partial(decode, AptDecoder), [example(text) for text in APT_ANSWERS]),
    "koheras": Target(decode_telegrams, [example(text) for text in KOHERAS]),
    "itla": Target(partial(decode, AnswerDecoder), [example(text) for text in ITLA]),
    "agiltron": Target(partial(decode, FrameDecoder), [example("01 11 00 03 01 12 00 05")]),
    "sim900": Target(partial(decode, MainframeFrames), [b"\xff#3009+01.500\r\n\r\n36\r\n"]),
    "snmp": Target(decode_snmp, [b"\0" + SNMP_ANSWER]),
    "tdc1": Target(stream_tdc1, [example(TDC1), b"\x03" + bytes.fromhex(TDC1)]),
    "id900": Target(stream_id900, [b"\x07" + struct.pack("<3Q", 1, 2, 10**11)]),
    "journal": Target(read_record, [JOURNAL], 2000),
    "telemetry": Target(listen, MESSAGES, 2000),
    "manifest": Target(read_lines_of_manifest, [SEGMENTS], 2000),
    "file_a1": Target(partial(read_file, "a1", b""), [b"\0" + EVENTS]),
    "file_a2": Target(partial(read_file, "a2", b""), [b"\0" + b"0000000000000401\n0000000000001402\n"]),
    "file_swabian": Target(partial(read_file, "swabian", b""), [b"\0" + DUMP]),
    "file_idq": Target(partial(read_file, "idq", b""), [b"\0" + struct.pack("<3Q", 1, 2, 10**11)]),
    "file_ptu": Target(partial(read_file, "ptu", b""), [b"\0" + ptu_header(T2, 2) + bytes(8)], 2000),
    **{
        f"records_{label}": Target(
            partial(read_file, "ptu", ptu_header(kind, 0)), [b"\0" + struct.pack("<3I", 1 << 25, 63 << 25, 7)]
        )
        for label, kind in (("t2", T2), ("t3", T3), ("pico_t2", PICO_T2), ("pico_t3", PICO_T3))
    },
    **{
        f"bench_{model}": Target(partial(ask_simulated, model, framed), seeds)
        for model, framed, seeds in (
            ("thorlabs_mpc320", bytes, [example(text) for text in APT_REQUESTS]),
            ("thorlabs_k10cr1", bytes, [example(text) for text in APT_REQUESTS]),
            ("nkt_koheras", as_telegram, [example(text) for text in KOHERAS_REQUESTS]),
            ("oif_itla", as_packets, [example(text) for text in ITLA_REQUESTS]),
            ("agiltron_cl", bytes, [example("01 11 00 00 01 12 00 03")]),
            ("novoptel_epc1000", bytes, [example("52 00 54 57 00 07 00 01")]),
            ("whiterabbit_switch", bytes, [b"\xff" + SNMP_ASKED]),
            ("singlequantum_websq", bytes, [b"\xff" + request for request in WEBSQ]),
        )
    },
}  # fmt: skip
