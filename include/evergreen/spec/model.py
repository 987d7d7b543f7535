"""The whole spec of one model, with the checks that span its sections."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from evergreen.spec.checks import Owner, Schedule, StartDate, Tag, TimeZone
from evergreen.spec.data import Examples, TableContract, WindowSpec
from evergreen.spec.formatting import shown
from evergreen.spec.inputs import CiTests, InputGroup, refuse_contradictions
from evergreen.spec.metrics import DEFAULT_METRIC, Metric, metrics_of
from evergreen.spec.modeling import BASELINE, CandidateSpec, Engine, Gates
from evergreen.spec.monitoring import Drift, Quality, Service, Staleness
from evergreen.spec.operations import Alerts, Retention, Scoring
from evergreen.spec.release import Deployment
from evergreen.spec.source import FileTable, Source
from evergreen.spec.useless import refuse_useless_settings
from evergreen.values import Frozen

#: What a model may be called: a folder, a Python module, and the beginning of Airflow's ids.
MODEL_NAME = r"[a-z][a-z0-9_]{0,62}"
#: Airflow runs one task for each, and at most 1,024 of one kind.
MAX_CANDIDATES = 1_000
#: The workflows that start by a schedule of the model.
Workflow = Literal["retrain", "score", "monitor"]
Slug = Annotated[str, Field(pattern=f"^{MODEL_NAME}$")]


class ModelSpec(Frozen):
    """
    One model, end to end. Every operator takes its name and reads the rest here.

    ``schedule`` is when retrain, score and monitor start; ``schedules`` gives one of them another.
    """

    model: Slug
    description: str = Field(min_length=1, max_length=5_000)
    owner: Owner
    tags: Annotated[tuple[Tag, ...], Field(max_length=100)] = ()
    limits: Annotated[tuple[str, ...], Field(max_length=100)] = ()

    schedule: Schedule = "0 6 * * *"
    schedules: dict[Workflow, Schedule] = Field(default_factory=dict)
    start_date: StartDate
    timezone: TimeZone = "UTC"
    seed: int = Field(default=0, ge=0, lt=2**32)

    source: Source
    examples: Examples
    inputs: dict[Slug, InputGroup] = Field(default_factory=dict)
    contract: dict[str, TableContract] = Field(default_factory=dict)
    window: WindowSpec = WindowSpec()
    candidates: dict[Slug, CandidateSpec] = Field(min_length=1, max_length=MAX_CANDIDATES)
    trusted_types: tuple[str, ...] = ()
    engine: Engine = Engine()
    tests: CiTests = CiTests()

    gates: Gates = Gates()
    deployment: Deployment = Deployment()
    scoring: Scoring = Scoring()
    drift: Drift = Drift()
    quality: Quality = Quality()
    service: Service | None = None
    staleness: Staleness = Staleness()
    alerts: Alerts = Alerts()
    retention: Retention = Retention()

    def schedule_of(self, workflow: Workflow) -> str:
        """Return when *workflow* starts: its own schedule, or the one for all."""
        return self.schedules.get(workflow, self.schedule)

    @property
    def metric(self) -> Metric:
        """The metric that ranks candidates and decides over champions."""
        return self.gates.metric or DEFAULT_METRIC[self.examples.problem]

    @property
    def candidate_names(self) -> tuple[str, ...]:
        """Everything that is fitted in a run: the user's candidates and the linear baseline."""
        return (*self.candidates, BASELINE)

    def is_ranked(self, candidate: str) -> bool:
        """Return whether *candidate* has a rival: the baseline has none, nor has one alone."""
        return candidate != BASELINE and len(self.candidates) > 1

    def row_limit(self, candidate: str | None = None) -> tuple[str, int] | None:
        """Return the setting that bounds the training rows of *candidate*, and how many."""
        limits = {"window.max_train_rows": self.window.max_train_rows}
        if candidate == BASELINE:
            limits["gates.baseline.max_rows"] = self.gates.baseline.max_rows
        given = [(name, most) for name, most in limits.items() if most is not None]
        return min(given, key=lambda limit: limit[1], default=None)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the source's tables, as ``prepare`` receives them."""
        return tuple(getattr(self.source, self.source.kind))

    @property
    def raw_tables(self) -> dict[str, FileTable]:
        """Where each table's days lie; those of a source are landed by ``extract_data``."""
        landed = {
            name: FileTable(
                path=f"raw/{self.model}/{name}/{{day}}.parquet", lookback_days=table.lookback_days
            )
            for name, table in self.source.extracted.items()
        }
        return {**self.source.files, **landed}

    def contract_of(self, table: str) -> TableContract:
        """Return the contract of *table*; a table without one keeps the table-wide defaults."""
        return self.contract.get(table, TableContract())

    @property
    def personal_inputs(self) -> frozenset[str]:
        """Inputs that are declared personal data; pages and logs do not show their values."""
        groups = [group for group in self.inputs.values() if group.personal]
        return frozenset(name for group in groups for name in group.columns)

    @field_validator("candidates", mode="before")
    @classmethod
    def _name_alone_is_enough(cls, candidates: object) -> object:
        if isinstance(candidates, list):
            if faulty := [name for name in candidates if not isinstance(name, str)]:
                raise ValueError(
                    f"found {shown(faulty[0])} in the list; expected names only, for example "
                    "[linear]. If a candidate has settings, write keys with values and no dashes, "
                    "for example {linear: {}}"
                )
            if len(candidates) > MAX_CANDIDATES:
                raise ValueError(
                    f"found {len(candidates)} candidates; expected at most {MAX_CANDIDATES}"
                )
            twice = sorted(name for name, times in Counter(candidates).items() if times > 1)
            if twice:
                raise ValueError(f"named more than once: {shown(twice)}; keep one of each")
            return {name: {} for name in candidates}
        if isinstance(candidates, dict):
            return {name: {} if body is None else body for name, body in candidates.items()}
        raise ValueError(
            f"found {shown(candidates)}; expected a list, for example "
            f"[{candidates if isinstance(candidates, str) else 'linear'}]"
        )

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if BASELINE in self.candidates:
            raise ValueError(f"candidates: the name {BASELINE!r} is taken by the one always added")
        if unknown := set(self.contract) - set(self.tables):
            raise ValueError(
                f"contract: {sorted(unknown)} are not tables of source, which has "
                f"{sorted(self.tables)}"
            )
        inputs = set(self.examples.features)
        for key, names in {
            "gates.slices.columns": self.gates.slices.columns,
            "drift.columns": self.drift.columns or (),
            "drift.weights": tuple(self.drift.weights),
        }.items():
            if unknown := set(names) - inputs:
                raise ValueError(f"{key}: {sorted(unknown)} are not inputs of the model")
        refuse_contradictions(
            self.inputs,
            inputs=self.examples.features,
            contract=self.contract,
            slices=self.gates.slices.columns,
        )
        self._refuse_strange_metrics()
        refuse_useless_settings(self)
        return self

    def _refuse_strange_metrics(self) -> None:
        known = metrics_of(self.examples.problem)
        for key, names in {
            "gates.metric": (self.metric,),
            "gates.floors": tuple(self.gates.floors),
            "quality.floors": tuple(self.quality.floors),
        }.items():
            if unknown := set(names) - set(known):
                raise ValueError(
                    f"{key}: {sorted(unknown)} cannot be measured for examples.problem "
                    f"{self.examples.problem!r}, which knows {', '.join(known)}"
                )
