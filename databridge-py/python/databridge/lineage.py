"""Traceability: lots and their genealogy, runs, gates, flows.

`bridge.lineage` and `client.lineage` are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union

from .results import Event, build

Parent = Union[str, tuple[str, float]]
"""A parent's code, or that with the kilograms that were drawn from it."""


@dataclass(frozen=True)
class Lot:
    """A lot as it stands."""

    lot_code: str
    lot_type: str
    weight_kg: float | None
    temp_c: float | None
    step_index: int
    phase_num: int | None
    status: str
    resolution: str | None
    """How its last hold was resolved."""
    run: str | None
    origin: str | None
    """The transfer that brought it."""
    version: int
    created_at: datetime
    updated_at: datetime
    depth: int | None = field(default=None, compare=False)
    """The fewest steps from where a walk began, where a depth was given."""


@dataclass(frozen=True)
class LotDetail(Lot):
    """A lot with its neighbours."""

    parents: tuple[dict[str, Any], ...] = ()
    children: tuple[dict[str, Any], ...] = ()
    decisions: tuple[dict[str, Any], ...] = ()
    actions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Walk:
    """One page of a walk through the genealogy."""

    lots: tuple[Lot, ...]
    total: int
    """How many were reached, on all pages."""
    cut: bool
    """Whether there may be more than the walk was let visit."""
    next: str | None
    """Give it as `after` to go on."""


@dataclass(frozen=True)
class Blast:
    """What is touched if a lot is recalled."""

    shares: tuple[dict[str, Any], ...]
    """How many lots of each type and status, and what they weigh."""
    gone: int
    """How many are consumed or finished."""
    walk: Walk


@dataclass(frozen=True)
class Run:
    """A production run."""

    run_code: str
    status: str
    flow: str | None
    version_num: int | None
    current_step_index: int
    started_by: str | None
    run_key: str
    hold_reason: str | None
    summary: dict[str, Any] | None
    version: int
    created_at: datetime
    completed_at: datetime | None
    actions: tuple[str, ...]
    steps: tuple[dict[str, Any], ...] | None
    """Its eleven steps, where one run was asked for."""
    decisions: tuple[dict[str, Any], ...] | None


@dataclass(frozen=True)
class Decision:
    """A decision at a gate."""

    id: str
    gate: str
    gate_type: str
    is_ccp: bool
    lot_code: str
    run: str | None
    decision: str
    notes: str | None
    answers: dict[str, Any]
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True)
class FlowVersion:
    """A version of a flow."""

    flow: str
    version_num: int
    status: str
    author: str
    review_notes: str | None
    reviewed_by: str | None
    published_by: str | None
    separate: bool | None
    created_at: datetime
    published_at: datetime | None
    actions: tuple[str, ...]
    graph_schema: dict[str, Any] | None
    """What it says, where one version was asked for."""


def _parent(parent: Parent) -> Any:
    if isinstance(parent, str):
        return parent
    code, weight_kg = parent
    return {"lot_code": code, "weight_kg": weight_kg}


def _walk(answer: Mapping[str, Any]) -> Walk:
    lots = tuple(build(Lot, one) for one in answer["items"])
    return Walk(lots, answer["total"], answer["cut"], answer["next"])


class Lineage:
    """What can be asked about lots, runs, gates and flows."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    # Lots

    def register(
        self,
        lot_type: str,
        *,
        lot_code: str | None = None,
        parents: Iterable[Parent] = (),
        weight_kg: float | None = None,
        temp_c: float | None = None,
        step_index: int | None = None,
        phase_num: int | None = None,
        run: str | None = None,
    ) -> Lot:
        """Registers a lot with what it is made from."""
        made = self._call(
            "lot_register",
            lot_type=lot_type,
            lot_code=lot_code,
            parents=[_parent(one) for one in parents],
            weight_kg=weight_kg,
            temp_c=temp_c,
            step_index=step_index,
            phase_num=phase_num,
            run=run,
        )
        return build(Lot, made)

    def register_all(self, lots: Iterable[Mapping[str, Any]]) -> tuple[Lot, ...]:
        """Registers up to 1,000 lots, all or none, given as `register` has them."""
        made = self._call("lot_register_all", lots=[dict(one) for one in lots])
        return tuple(build(Lot, one) for one in made)

    def lot(self, lot_code: str) -> LotDetail:
        """Everything about a lot."""
        return build(LotDetail, self._call("lot_show", lot_code=lot_code))

    def lots(
        self,
        *,
        status: str | None = None,
        lot_type: str | None = None,
        run: str | None = None,
    ) -> Iterator[Lot]:
        """Lots, newest first, read page by page."""
        after = None
        while True:
            page = self._call(
                "lot_list", status=status, lot_type=lot_type, run=run, after=after, limit=200
            )
            for one in page["items"]:
                yield build(Lot, one)
            after = page["next"]
            if after is None:
                return

    def move(self, lot_code: str, status: str, note: str | None = None) -> Lot:
        """Moves a lot by hand; leaving HOLD takes a note."""
        return build(Lot, self._call("lot_move", lot_code=lot_code, status=status, note=note))

    def link(self, lot_code: str, parent: Parent) -> Lot:
        """Links a lot to another parent."""
        return build(Lot, self._call("lot_link", lot_code=lot_code, parent=_parent(parent)))

    def history(self, lot_code: str, *, after: int | None = None) -> tuple[Event, ...]:
        """What happened to a lot, from the ledger; up to 1,000 events."""
        found = self._call("lot_history", lot_code=lot_code, after=after, limit=1000)
        return tuple(build(Event, one) for one in found)

    # Genealogy

    def _trace(self, op: str, lot_code: str, given: Mapping[str, Any]) -> Any:
        return self._call(op, lot_code=lot_code, **given)

    def ancestors(
        self,
        lot_code: str,
        *,
        max_depth: int | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Walk:
        """What a lot was made from, a page of it."""
        given = {"max_depth": max_depth, "after": after, "limit": limit}
        return _walk(self._trace("trace_ancestors", lot_code, given))

    def descendants(
        self,
        lot_code: str,
        *,
        max_depth: int | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Walk:
        """What was made from a lot, a page of it."""
        given = {"max_depth": max_depth, "after": after, "limit": limit}
        return _walk(self._trace("trace_descendants", lot_code, given))

    def blast_radius(
        self, lot_code: str, *, after: str | None = None, limit: int | None = None
    ) -> Blast:
        """What is touched if a lot is recalled."""
        found = self._trace("trace_blast", lot_code, {"after": after, "limit": limit})
        return Blast(tuple(found["shares"]), found["gone"], _walk(found))

    def common_ancestors(self, lot_code: str, other: str) -> tuple[Lot, ...]:
        """What two lots both come from; up to 1,000."""
        found = self._call("trace_common", lot_code=lot_code, other=other, limit=1000)
        return tuple(build(Lot, one) for one in found["items"])

    def path(self, lot_code: str, other: str) -> tuple[str, ...]:
        """The shortest way between two lots, from the older to the younger."""
        return tuple(self._call("trace_path", lot_code=lot_code, other=other)["lots"])

    def graph(
        self,
        lot_code: str,
        *,
        format: str = "mermaid",
        direction: str | None = None,
        max_depth: int | None = None,
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Nodes, edges and, as `mermaid` or `dot`, a drawing in `text`."""
        given = {"direction": direction, "max_depth": max_depth, "limit": limit}
        found: dict[str, Any] = self._call("trace_graph", lot_code=lot_code, format=format, **given)
        return found

    # Runs and gates

    def create_run(
        self, flow: str, *, version_num: int | None = None, run_key: str | None = None
    ) -> Run:
        """Creates a run of a published flow. The same key is the same run."""
        made = self._call("run_create", flow=flow, version_num=version_num, run_key=run_key)
        return build(Run, made)

    def run(self, run_code: str) -> Run:
        """A run with its steps and decisions."""
        return build(Run, self._call("run_show", run_code=run_code))

    def advance(self, run_code: str, to: int) -> Run:
        """The step `to` begins: one more than the current one, 0 for the first."""
        return build(Run, self._call("run_advance", run_code=run_code, to=to))

    def skip(self, run_code: str, to: int, reason: str) -> Run:
        """The same, where the step that is left was not done."""
        return build(Run, self._call("run_skip", run_code=run_code, to=to, reason=reason))

    def end(self, run_code: str) -> Run:
        """Ends a run; what is not done is skipped."""
        return build(Run, self._call("run_end", run_code=run_code))

    def move_run(self, run_code: str, action: str, note: str | None = None) -> Run:
        """`hold`, `resume`, `abort` or `archive`."""
        return build(Run, self._call("run_move", run_code=run_code, action=action, note=note))

    def gates(self, flow: str | None = None) -> tuple[dict[str, Any], ...]:
        """Gates of published flow versions."""
        return tuple(self._call("gate_list", flow=flow))

    def decide(
        self,
        lot_code: str,
        gate: str,
        decision: str,
        *,
        notes: str | None = None,
        answers: Mapping[str, Any] | None = None,
    ) -> Decision:
        """PASS, HOLD or FAIL: the system then releases, holds or rejects the lot."""
        made = self._call(
            "qc_decide",
            lot_code=lot_code,
            gate=gate,
            decision=decision,
            notes=notes,
            answers={**(answers or {})},
        )
        return build(Decision, made)

    # Flows

    def install(self, profile: str) -> FlowVersion:
        """Writes the next draft of a profile's flow: `food` or `vfx`."""
        return build(FlowVersion, self._call("profile_install", name=profile))

    def draft(self, name: str, graph_schema: Mapping[str, Any] | None = None) -> FlowVersion:
        """Begins a flow, or its next draft."""
        return build(FlowVersion, self._call("flow_draft", name=name, graph_schema=graph_schema))

    def flow(self, name: str, version_num: int | None = None) -> FlowVersion:
        """A version with what it says; the newest where none is named."""
        return build(FlowVersion, self._call("flow_show", flow=name, version_num=version_num))

    def move_flow(
        self, name: str, version_num: int, action: str, notes: str | None = None
    ) -> FlowVersion:
        """`request review`, `publish` or `deprecate`."""
        made = self._call(
            "flow_move", flow=name, version_num=version_num, action=action, notes=notes
        )
        return build(FlowVersion, made)

    def diff(self, name: str, before: int, after: int) -> tuple[dict[str, Any], ...]:
        """What changed between two versions."""
        return tuple(self._call("flow_diff", flow=name, **{"from": before, "to": after}))
