"""Spoilt requests: no crash, no false record, no sum that does not add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from taskscope.service.otlp.json_mapping import to_protobuf

from . import fuzz
from .requests import JSON, PROTOBUF

if TYPE_CHECKING:
    from tests.taskscope.service.services import Service

PATHS = {"traces": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}


def test_no_spoilt_request_makes_a_false_record() -> None:
    """1,500 of them by number; the rig of `make reliability` takes a million."""
    outcomes = fuzz.run(0, 1500)
    assert outcomes["taken"] > 300
    assert outcomes["refused"] > 300


def test_no_spoilt_request_is_an_error_of_the_service(service: Service) -> None:
    """Over HTTP each is answered, and never with a 5xx."""
    import random

    for number in range(150):
        chance = random.Random(number)
        signal = chance.choice(list(PATHS))
        for kind, content in (
            (PROTOBUF, fuzz.spoil_bytes(fuzz.SEEDS[signal].SerializeToString(), chance)),
            (JSON, fuzz.spoil_json(signal, chance)),
        ):
            answer = service.client.post(PATHS[signal], content=content, headers={"Content-Type": kind})
            assert answer.status_code in {200, 400}, (number, kind, answer.text)
    assert service.client.get("/metrics").status_code == 200
    assert service.ask("GET", "/tasks").status_code == 200


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_none(body: bytes) -> None:
    """Of each signal, in both encodings."""
    for signal, read in fuzz.READERS.items():
        for convert in (bytes, lambda raw, signal=signal: to_protobuf(signal, raw)):
            try:
                plain = convert(body)
                received = read(plain)
            except ValueError:
                continue
            fuzz.judge(signal, plain, received)
