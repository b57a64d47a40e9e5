from __future__ import annotations

import socket

import pytest

from tenire.engines import ray_engine
from tenire.engines.ray_engine import RayEngine
from tenire.errors import ConfigError, MissingExtraError


def test_without_ray_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError):
        RayEngine(None, cpu=2)


def test_an_address_at_which_nobody_listens_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: object())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        engine = RayEngine(address, cpu=None)
        with pytest.raises(ConfigError, match=f"there is no Ray cluster at {address}: .*refused") as caught:
            engine.connect()
        engine.disconnect()
    assert caught.value.key == "tenire.engine"
