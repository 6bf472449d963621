"""What only a real broker has: TLS with client certificates, users and access lists, as `examples/mosquitto`
sets them up."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from telemetry.leftovers import flush
from telemetry.line import Line, Tls, connect
from telemetry.messages import DeviceState, Event, RunState
from telemetry.outbox import Outbox
from telemetry.publisher import Publisher
from telemetry.subscriber import BrokerError, retained
from tests.telemetry.brokers import Mosquitto, program, running_mosquitto

Listen = Callable[..., AbstractAsyncContextManager[Any]]
EXAMPLES = Path(__file__).parents[2] / "examples" / "mosquitto"


def openssl(folder: Path, *arguments: str) -> None:
    program_ = shutil.which("openssl")
    if program_ is None:
        pytest.skip("OPENSSL IS NOT INSTALLED, so TLS is not tested: apt-get install openssl")
    subprocess.run([program_, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a certificate of the broker for 127.0.0.1, and one of ours for the user `control`; as
    the page of examples/mosquitto tells to make them, with elliptic keys for their speed."""
    folder = tmp_path_factory.mktemp("papers")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=lab authority")
    for name, subject in (("broker", "/CN=127.0.0.1"), ("control", "/CN=control")):
        issuer = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
        openssl(folder, "req", "-x509", *key, *files, "-subj", subject, *issuer, *leaf)
    return folder


def secure(papers: Path) -> tuple[str, ...]:
    """The settings of examples/mosquitto/mosquitto.conf, with our folders in the place of the machine's."""
    (papers / "acl").write_text((EXAMPLES / "acl").read_text())
    text = (EXAMPLES / "mosquitto.conf").read_text().replace("/etc/mosquitto/bellbench/", f"{papers}/")
    text = text.replace("/var/lib/mosquitto/", f"{papers}/")
    ours = ("listener ", "set_tcp_nodelay", "max_queued_messages")  # every broker under test has these
    lines = (line for line in text.splitlines() if line and not line.startswith(("#", *ours)))
    return (*lines, "user root")


async def test_tls_with_a_client_certificate(
    tmp_path: Path, papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Tls(papers / "ca.crt", papers / "control.crt", papers / "control.key")
    async with running_mosquitto(tmp_path, *secure(papers), tls=ours) as broker:
        async with Publisher(broker.line, site="nyc", run="r1") as run:
            run.publish_state(RunState(state="completed"))
        assert run.trouble is None
        [state] = [
            message.payload
            for message in await retained(broker.line, root="bellbench")
            if isinstance(message.payload, RunState)
        ]
        assert state.state == "completed"
        monkeypatch.setattr("telemetry.line.ANSWER_S", 1.0)  # how long the stranger waits
        stranger = Line(broker.line.host, broker.line.port, tls=Tls(papers / "ca.crt"))
        with pytest.raises(BrokerError):
            await retained(stranger, root="bellbench")
        gullible = Line(broker.line.host, broker.line.port, tls=Tls(None, ours.certificate, ours.key))
        with pytest.raises(BrokerError, match="certificate"):
            await retained(gullible, root="bellbench")  # an authority that we do not know


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ca\.crt"):
        Tls(tmp_path / "ca.crt").context()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A password file with a user for each role of the example."""
    program()
    file = tmp_path / "passwords"
    maker = shutil.which("mosquitto_passwd")
    assert maker is not None, "it comes with mosquitto"
    file.write_text("".join(f"{user}:{user} secret\n" for user in ("control", "operator", "viewer")))
    subprocess.run([maker, "-U", str(file)], check=True)
    return file


def as_user(broker: Mosquitto, user: str) -> Line:
    return Line(broker.line.host, broker.line.port, user, f"{user} secret")


def protected(users: Path, acl: Path = EXAMPLES / "acl") -> tuple[str, ...]:
    return ("allow_anonymous false", f"password_file {users}", f"acl_file {acl}", "user root")


async def test_users_and_the_example_access_list(tmp_path: Path, users: Path) -> None:
    """`control` publishes everything, `viewer` reads everything and writes nothing, `operator` may send
    commands besides."""
    async with running_mosquitto(tmp_path, *protected(users)) as broker:
        async with Publisher(as_user(broker, "control"), site="nyc", run="r1") as run:
            run.publish_state(RunState(state="running"))
            run.publish_device_state("alice", "pump", DeviceState(condition="ready"))
            run.publish_event(Event(level="info", text="hello"))
        assert run.trouble is None
        command = "bellbench/v1/nyc/run/r1/command"
        for user in ("viewer", "operator"):
            async with connect(as_user(broker, user)) as client:
                await client.publish("bellbench/v1/nyc/run/r1/state", b"forged", qos=1, retain=True)
                await client.publish(command, user.encode(), qos=1, retain=True)
        async with connect(as_user(broker, "viewer")) as viewer:
            await viewer.subscribe("bellbench/v1/nyc/#", qos=1)
            await viewer.subscribe("end-of-retained", qos=1)
            kept = {}
            while len(viewer.messages):
                message = await anext(viewer.messages)
                kept[message.topic.value] = message.payload
    assert b'"state":"running"' in kept["bellbench/v1/nyc/run/r1/state"]
    assert "bellbench/v1/nyc/alice/pump/state" in kept
    assert kept[command] == b"operator"


async def test_wrong_password_is_said(tmp_path: Path, users: Path) -> None:
    async with running_mosquitto(tmp_path, *protected(users)) as broker:
        line = Line(broker.line.host, broker.line.port, "control", "guess")
        async with Publisher(line, site="nyc", run="r1", flush_s=0.0) as run:
            run.publish_event(Event(level="info", text="hello"))
            async with asyncio.timeout(30):
                while run.trouble is None:  # noqa: ASYNC110 -- a condition of other tasks, with a deadline
                    await asyncio.sleep(0.01)
        assert "uthori" in run.trouble  # Not authorized
        assert "guess" not in run.trouble


async def test_a_denied_topic_is_noticed_and_nothing_on_it_is_lost(
    tmp_path: Path, users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mosquitto acknowledges what it throws away (ecosystem.md 1.6). So bellbench looks whether it comes
    back, keeps it, says so, and sends it when the list is mended."""
    monkeypatch.setattr("telemetry.delivery.ECHO_S", 1.5)  # in which what is not denied has come back
    narrow = tmp_path / "acl"
    narrow.write_text("user control\ntopic readwrite bellbench/v1/nyc/control/#\n")
    path = tmp_path / "outbox.sqlite"
    async with running_mosquitto(tmp_path, *protected(users, narrow)) as broker:
        line = as_user(broker, "control")
        async with Publisher(line, site="nyc", run="r1", outbox=Outbox(path), flush_s=30.0) as run:
            run.publish_state(RunState(state="running"))
            run.publish_event(Event(level="info", text="goes through"))
            for number in range(3):
                run.publish_event(Event(level="info", text=str(number), node="hub", instrument="tagger"))
        assert run.trouble is not None
        denied = "bellbench/v1/nyc/hub/tagger/event and 1 topics more"
        assert f"does not pass on what is published on {denied}" in run.trouble
        assert run.dropped == 0
        await broker.stop()
        narrow.write_text("user control\ntopic readwrite bellbench/#\n")
        await broker.start()
        async with connect(line) as client:
            await client.subscribe("bellbench/v1/#", qos=1)
            flushed = await flush(line, path, root="bellbench")
            assert (flushed.sent, flushed.left, flushed.trouble) == (4, 0, None)
            async with asyncio.timeout(5):
                topics = sorted([(await anext(client.messages)).topic.value for _ in range(4)])
    event = "bellbench/v1/nyc/hub/tagger/event"
    assert topics == [event, event, event, "bellbench/v1/nyc/run/r1/state"]
