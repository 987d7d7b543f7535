"""
What is known of a model over time, from the objects each night left behind.

Every object is read once as long as it does not change, so that two years of nights cost a listing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from evergreen.errors import ArtifactError
from evergreen.receipts.monitoring import Colour, Finding
from evergreen.registry import ledger as ledger_store
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE, HEALTH_DATA, HEALTH_PAGE
from evergreen.storage.records import FORMAT_KEY, parse_object
from evergreen.values import Frozen

T = TypeVar("T")

log = logging.getLogger(__name__)
#: Versions that are listed with their scores, newest first.
SHOWN_VERSIONS = 60


class DayOfHealth(Frozen):
    """What monitor found on one day; ``drift`` is the largest share of a limit that was used."""

    day: date
    colour: Colour
    reasons: tuple[str, ...]
    metric: str | None
    windows: tuple[tuple[date, float | None, float | None], ...]
    drift: float | None
    drift_column: str | None
    p95_ms: float | None
    champion_days: float | None
    data_days: float | None
    page: str


class VersionCard(Frozen):
    """One evaluated version: what it reached, and where its evidence is."""

    version: str
    as_of: datetime
    candidate: str
    passed: bool
    missed: tuple[str, ...]
    scores: dict[str, float | None]
    days: dict[str, str]
    compared_with: str | None
    identity: dict[str, str]
    evidence: str


@dataclass(frozen=True, kw_only=True)
class ModelHistory:
    """A model over time, oldest first."""

    spec: ModelSpec
    ledger: ledger_store.Ledger
    days: tuple[DayOfHealth, ...]

    @property
    def newest(self) -> DayOfHealth | None:
        """The last day that was monitored."""
        return self.days[-1] if self.days else None

    @property
    def quality(self) -> dict[date, tuple[float | None, float | None]]:
        """The deciding metric of each window by its last day: observed and estimated."""
        found: dict[date, tuple[float | None, float | None]] = {}
        for one in self.days:  # a later day knows more labels of the same window
            for last, real, estimated in one.windows:
                before = found.get(last, (None, None))
                found[last] = (
                    real if real is not None else before[0],
                    estimated if estimated is not None else before[1],
                )
        return dict(sorted(found.items()))


class Reader:
    """
    Reads stories from one store and keeps what it read.

    Safe among threads: two may read the same object, and both get the same.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._days = _ParsedObjects[DayOfHealth](store, _day)
        self._versions = _ParsedObjects[VersionCard](store, _version)
        self._ledgers: dict[str, ledger_store.Ledger] = {}

    def history(self, spec: ModelSpec) -> ModelHistory:
        """
        Return what is known of the model of *spec*.

        :raises ArtifactError: If a record or an entry of the ledger is damaged.
        """
        days = self._days.all(layout.all_of("monitoring", spec.model), f"/{HEALTH_DATA}")
        return ModelHistory(
            spec=spec, ledger=self.ledger(spec.model), days=tuple(sorted(days, key=lambda d: d.day))
        )

    def versions(self, model: str) -> list[VersionCard]:
        """Return the newest evaluation of the newest versions, highest version first."""
        found = self._versions.all(
            layout.all_of("evidence", model), f"/{EVIDENCE_DATA}", newest=SHOWN_VERSIONS
        )
        by_version = {card.version: card for card in found}
        return sorted(by_version.values(), key=lambda card: -int(card.version))

    def ledger(self, model: str) -> ledger_store.Ledger:
        """Return the ledger; it is read again only if something was written."""
        found = ledger_store.read_again(self.store, model, self._ledgers.get(model))
        self._ledgers[model] = found
        return found


class _ParsedObjects(Generic[T]):
    """Objects of one kind, each parsed once per content."""

    def __init__(self, store: ObjectStore, parse: Callable[[str, Any], T]) -> None:
        self.store, self.parse = store, parse
        self._known: dict[str, tuple[str, T]] = {}

    def all(self, prefix: str, suffix: str, *, newest: int | None = None) -> list[T]:
        """
        Return every object below *prefix* that ends in *suffix*, oldest write first.

        :raises ArtifactError: If one is damaged.
        """
        heads = [(k, h) for k, h in self.store.heads(prefix) if k.endswith(suffix)]
        heads.sort(key=lambda pair: pair[1].written_at)
        found = []
        for key, head in heads[-newest:] if newest else heads:
            known = self._known.get(key)
            if known is None or known[0] != head.fingerprint:
                try:
                    data = self.store.get(key)
                except FileNotFoundError:
                    continue  # housekeeping was faster
                content = parse_object(data, key=key, uri=self.store.uri, expected="record")
                if content.get(FORMAT_KEY) != Frozen.FORMAT:
                    log.warning("%s was written in another format and is not shown", key)
                    continue
                parsed = self._parsed(key, content)
                known = self._known[key] = (head.fingerprint, parsed)
            found.append(known[1])
        return found

    def _parsed(self, key: str, content: dict[str, Any]) -> T:
        try:
            return self.parse(key, content)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{key} in {self.store.uri} is no such record: {error!r:.300}. {Frozen.REMEDY}"
            ) from error


def _day(key: str, found: Any) -> DayOfHealth:
    report = found["report"]["results"]
    quality, drift = report["quality"] or {}, report["drift"] or {}
    metric = quality.get("metric")
    columns = [Finding.model_validate(column) for column in drift.get("columns") or ()]
    worst = max(columns, key=lambda column: column.share, default=None)
    age = report["staleness"] or {}
    return DayOfHealth(
        day=date.fromisoformat(found["day"]),
        colour=found["colour"],
        reasons=tuple(found["reasons"]),
        metric=metric,
        windows=tuple(
            (date.fromisoformat(w["last"]), w["metrics"].get(metric), w["estimated"].get(metric))
            for w in quality.get("windows") or ()
        ),
        drift=worst.share if worst else None,
        drift_column=worst.name if worst else None,
        p95_ms=(report["service"] or {}).get("p95_ms"),
        champion_days=age.get("champion_days"),
        data_days=age.get("data_days"),
        page=f"{key.rpartition('/')[0]}/{HEALTH_PAGE}",
    )


def _version(key: str, found: Any) -> VersionCard:
    return VersionCard(
        version=found["version"],
        as_of=datetime.fromisoformat(found["as_of"]),
        candidate=found["challenger"]["candidate"],
        passed=found["passed"],
        missed=tuple(found["missed"]),
        scores=found["metrics"]["challenger"],
        days={name: str(days) for name, days in found["card"]["days"].items()},
        compared_with=found["champion_version"],
        identity={name: str(value) for name, value in found["identity"].items()},
        evidence=f"{key.rpartition('/')[0]}/{EVIDENCE_PAGE}",
    )
