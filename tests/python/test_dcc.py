"""The snippets of docs/dcc.md, beside stand-ins for what reaches a host's main thread."""

from __future__ import annotations

import queue
import re
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from databridge import Bridge

PAGE = (Path(__file__).parents[2] / "docs" / "dcc.md").read_text()
SNIPPETS = dict(re.findall(r"^```python (\w+)\n(.*?)^```$", PAGE, re.M | re.S))


class Host:
    """A main thread that does what was posted to it, one after the other."""

    def __init__(self) -> None:
        self.posted: queue.Queue[Callable[[], object]] = queue.Queue()
        self.said: list[str] = []
        self.threads: set[threading.Thread] = set()

    def post(self, call: Callable[..., object], *args: object) -> None:
        self.posted.put(lambda: call(*args))

    def timer(self, call: Callable[[], float | None]) -> None:
        def tick() -> None:
            if call() is not None:
                self.posted.put(tick)

        self.posted.put(tick)

    def say(self, *words: object) -> None:
        self.threads.add(threading.current_thread())
        self.said.append(" ".join(map(str, words)))

    def modules(self, name: str) -> dict[str, types.ModuleType]:
        def module(name: str, **names: Any) -> types.ModuleType:
            made = types.ModuleType(name)
            made.__dict__.update(names)
            return made

        if name == "nuke":
            return {"nuke": module("nuke", executeInMainThread=self.post)}
        if name == "maya":
            utils = module("maya.utils", executeDeferred=self.post)
            return {"maya": module("maya", utils=utils), "maya.utils": utils}
        if name == "houdini":
            return {"hdefereval": module("hdefereval", executeDeferred=self.post)}
        timers = types.SimpleNamespace(register=self.timer)
        return {"bpy": module("bpy", app=types.SimpleNamespace(timers=timers))}


def test_each_host_has_a_snippet() -> None:
    assert set(SNIPPETS) == {"nuke", "maya", "houdini", "blender"}


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_a_host_submits_without_being_held_up(
    name: str, shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host()
    for module, made in host.modules(name).items():
        monkeypatch.setitem(sys.modules, module, made)
    snippet: dict[str, Any] = {"print": host.say}
    exec(compile(SNIPPETS[name], f"docs/dcc.md: {name}", "exec"), snippet)
    snippet["submit"](str(shot), str(tmp_path / "data"), "alpha")
    with Bridge(tmp_path / "data") as bridge:
        (transfer,) = bridge.list()
        # Nothing of it has happened on the main thread, which is here.
        assert transfer.state in {"draft", "uploading"}
        last = {"nuke": "way", "maya": "team_lead_review"}.get(name, "submitting")
        while not any(last in line for line in host.said):
            host.posted.get(timeout=60)()
        assert host.threads == {threading.main_thread()}
        assert bridge.wait(transfer.code, timeout=60).state == "team_lead_review"


def test_a_host_is_told_what_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    for module, made in host.modules("nuke").items():
        monkeypatch.setitem(sys.modules, module, made)
    snippet: dict[str, Any] = {"print": host.say}
    exec(SNIPPETS["nuke"], snippet)
    snippet["submit"](str(tmp_path / "missing"), str(tmp_path / "data"), "alpha")
    while not host.said:
        host.posted.get(timeout=60)()
    assert "missing" in host.said[0]
