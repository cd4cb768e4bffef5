"""A site that fails as it is asked to, and a coordinator that follows a list of calls: the "plan"."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np

from wardround.core.codec import Message
from wardround.errors import QuorumLost, SiteError
from wardround.fabric.base import Fabric


class FaultySite:
    def __init__(self, site: str, data_root: str | None, store_root: str) -> None:
        self.site = site
        self.data_root = data_root
        self.store = Path(store_root) / site
        self.store.mkdir(parents=True, exist_ok=True)
        (self.store / "pid").write_text(str(os.getpid()))
        self.calls = 0

    def handle(self, op: str, body: Message) -> Message:
        self.calls += 1
        if body.fields.get("at", self.site) == self.site:
            fault(op, self.site)
        told = {"site": self.site, "calls": self.calls, "data_root": self.data_root}
        return Message(told, {name: array + 1 for name, array in body.tensors.items()})


def fault(op: str, site: str) -> None:
    if op == "hang":
        time.sleep(8.0)
    if op == "burst":
        raise KeyError("patient Jane Doe")
    if op == "refuse":
        raise SiteError(f"site {site} has no images")


def open_site(plan_json: str, site: str, data_root: str | None, store_root: str) -> FaultySite:
    return FaultySite(site, data_root, store_root)


def run_on_fabric(plan_json: str, fabric: Fabric, run_folder: str, resume: bool) -> None:
    """Make the plan's calls; a resumed run goes on after the last one that was written down."""
    folder = Path(run_folder)
    folder.mkdir(exist_ok=True)
    path = folder / "rounds.jsonl"
    done = len(path.read_text().splitlines()) if resume and path.exists() else 0
    for number, call in enumerate(json.loads(plan_json)["calls"]):
        if number >= done:
            with path.open("a") as file:
                file.write(json.dumps({"call": number, "pid": os.getpid(), **one_call(fabric, call)}) + "\n")
    (folder / "summary.json").write_text('{"status": "done"}')


def one_call(fabric: Fabric, call: dict[str, object]) -> dict[str, object]:
    if call["op"] == "give_up":
        raise QuorumLost("1 site is fewer than the quorum of 2")
    sent = np.zeros(int(str(call.get("size", 1))), np.uint8)
    body = Message({"at": call["at"]} if "at" in call else {}, {"x": sent})
    begun = time.perf_counter()
    answers = {
        answer.site: answer.failure or {**answer.message.fields, "sum": int(answer.message.tensors["x"].sum())}
        for answer in fabric.gather(fabric.sites(), str(call["op"]), body, float(str(call.get("timeout_s", 30.0))))
        if answer.failure or answer.message
    }
    seconds = time.perf_counter() - begun
    return {"op": call["op"], "answers": answers, "seconds": seconds, "events": fabric.events()}
