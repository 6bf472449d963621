"""The section `telemetry` of an experiment file: a broker with TLS, and what may be asked of a run."""

import pytest
from pydantic import ValidationError

from experiments.config.telemetry import Telemetry


def test_by_default_here_and_nothing_may_be_asked() -> None:
    section = Telemetry()
    assert (section.broker, section.root, section.commands) == (None, "bellbench", ())


def test_a_broker_with_tls() -> None:
    section = Telemetry.model_validate(
        {
            "broker": "mqtts://broker.lab:8883", "ca": "/etc/bellbench/ca.crt",
            "certificate": "~/control.crt", "key": "~/control.key", "commands": ["pause", "safe"],
        }
    )  # fmt: skip
    assert section.commands == ("pause", "safe")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"commands": ["resume"]}, "'pause', 'stop', 'safe' or 'acknowledge'"),  # nothing that adds energy
        ({"commands": ["set"]}, "'pause', 'stop', 'safe' or 'acknowledge'"),
        ({"broker": "mqtt://lab", "ca": "/ca.crt"}, "ca is for a broker with TLS; write mqtts://"),
        ({"certificate": "/a.crt"}, "certificate is for a broker with TLS"),
        ({"broker": "mqtts://lab", "key": "/a.key"}, "a key belongs to a certificate"),
        ({"broker": "mqtts://lab", "ca": "ca.crt"}, "'ca.crt' is not a whole path"),
        ({"broker": "mqtts://ann:secret@lab"}, "no user or password in the address"),
        ({"broker": "https://lab"}, "or mqtts:// for TLS"),
        ({"password": "hunter2"}, "no secrets in this file"),
    ],
)
def test_what_is_wrong_is_said(section: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Telemetry.model_validate(section)
    assert said in str(error.value)
