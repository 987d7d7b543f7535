"""One model's nights without Airflow: every stage in order, each callable again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evergreen.data.preparation import load_examples, prepare_window
from evergreen.data.validation import validate_window
from evergreen.data.window import training_window
from evergreen.modeling.artifacts import ARTIFACT
from evergreen.modeling.evaluation import evaluate_challenger
from evergreen.modeling.training import train_candidate
from evergreen.receipts.common import Check, StageReceipt
from evergreen.receipts.data import ExamplesReceipt, ValidationReceipt
from evergreen.receipts.modeling import CandidateReceipt, EvaluationReceipt
from evergreen.receipts.monitoring import DriftReceipt
from evergreen.receipts.release import DeploymentReceipt, RegistrationReceipt, RollbackReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.release.deployment import deploy_model
from evergreen.release.reevaluation import reevaluate
from evergreen.release.registration import register_model
from evergreen.release.rollback import roll_back_model
from evergreen.release.targets import Waiting
from evergreen.spec.modeling import BASELINE
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore, ref_of
from evergreen.storage.records import put_document
from evergreen.workspace import Workspace
from tests.conftest import AS_OF, wait_until

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: The gate that a version misses which has not passed.
MISSED = Check(name="a gate", status="failed", measured="0", required="1")


def drift_of(store: ObjectStore, model: str, as_of: datetime) -> DriftReceipt:
    """A receipt that names an empty report: Evidently takes seconds, and has tests of its own."""
    nothing = ref_of("reports/none", b"")
    store.put_if_absent(nothing.key, b"")
    return DriftReceipt(
        model=model,
        as_of=as_of,
        html=nothing,
        json_report=nothing,
        reference_rows=100,
        current_rows=10,
        columns={
            "hour": {
                "distance": 0.04,
                "method": "Wasserstein",
                "reference_values": 100,
                "current_values": 10,
                "beyond_default_threshold": False,
            }
        },
    )


class Night:
    """The stages of one run, in order, each callable again."""

    def __init__(self, store, client, spec, as_of=AS_OF, *, only: Sequence[str] = ()) -> None:
        """
        :param only: The candidates of this run, as a person chooses them; by default all.
        """
        self.store, self.client, self.spec, self.as_of = store, client, spec, as_of
        self.only = only

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.store, self.client, self.spec)

    def validation(self) -> ValidationReceipt:
        window = training_window(self.as_of, self.spec.window)
        return validate_window(self.store, self.spec, as_of=self.as_of, days=window.days)

    def examples(self) -> ExamplesReceipt:
        window = training_window(self.as_of, self.spec.window)
        return prepare_window(self.store, self.spec, window=window, validation=self.validation())

    def candidates(self, examples: ExamplesReceipt) -> list[CandidateReceipt]:
        return [
            train_candidate(
                self.workspace,
                candidate=name,
                examples=examples,
                tags={},
            )
            for name in self.spec.candidate_names
            if not self.only or name in (*self.only, BASELINE)
        ]

    def evaluation(self, examples: ExamplesReceipt) -> EvaluationReceipt:
        return evaluate_challenger(
            self.workspace,
            candidates=self.candidates(examples),
            examples=examples,
        )

    def registration(self) -> RegistrationReceipt:
        examples = self.examples()
        return self.register(self.evaluation(examples), examples)

    def register(
        self,
        evaluation: EvaluationReceipt,
        examples: ExamplesReceipt,
        stages: dict[str, StageReceipt] | None = None,
    ) -> RegistrationReceipt:
        return register_model(
            self.workspace,
            evaluation=evaluation,
            validation=self.validation(),
            examples=examples,
            drift=drift_of(self.store, self.spec.model, evaluation.as_of),
            tags={},
            stages=stages,
        )

    def deployment(self, **how) -> DeploymentReceipt:
        return self.deploy(self.registration(), **how)

    def deploy(self, registration: RegistrationReceipt, **how) -> DeploymentReceipt | Waiting:
        asked = {"actor": "test", "now": NOW} | how
        return deploy_model(
            self.workspace,
            registration=registration,
            reevaluate=lambda: self.reevaluate(registration),
            **asked,
        )

    def roll_out(self, registration: RegistrationReceipt, *, within_s: float) -> DeploymentReceipt:
        """Do what the operator does: ask, wait, ask again."""
        answers: list[DeploymentReceipt | Waiting] = []

        def is_done() -> bool:
            answers.append(self.deploy(registration, now=datetime.now(UTC)))
            return not isinstance(answers[-1], Waiting)

        wait_until(is_done, within_s=within_s, what="the end of the stages", every_s=0.3)
        return answers[-1]

    def reevaluate(self, registration: RegistrationReceipt) -> RegistrationReceipt:
        return reevaluate(self.workspace, registration=registration, tags={})

    def roll_back(self, version: str | None = None, **how) -> RollbackReceipt:
        asked = {"dry_run": False, "force": False, "reason": "a test", "serves_from": NOW} | how
        return roll_back_model(
            self.workspace,
            version=version,
            actor="test",
            now=NOW,
            **asked,
        )

    def at(self, as_of: datetime, **changes) -> Night:
        """The same model on another night, perhaps with another spec."""
        return Night(self.store, self.client, self.spec.model_copy(update=changes), as_of)

    def ledger(self) -> ledger_store.Ledger:
        return ledger_store.read_ledger(self.store, self.spec.model)

    def versions(self) -> list[str]:
        found = self.client.search_model_versions(f"name = '{self.spec.model}'")
        return sorted(v.version for v in found)

    def runs(self) -> list:
        experiment = self.client.get_experiment_by_name(self.spec.model)
        return list(self.client.search_runs([experiment.experiment_id]))

    def champion(self) -> str | None:
        found = mlflow_registry.champion_of(self.client, self.spec.model)
        return found.version if found else None


class History(Night):
    """A model whose versions share one fitted artifact, and differ in when and how they came."""

    def __init__(self, trained, model: str) -> None:
        self.night, self.judged = trained
        spec = self.night.spec.model_copy(update={"model": model})
        super().__init__(self.night.store, self.night.client, spec)
        self.held, self.kept = self.night.validation(), self.night.examples()

    def copied(self, mlflow_artifacts: Path) -> tuple[CandidateReceipt, Path]:
        """
        Log the shared artifact as a model of its own, for a test that damages its files.

        :return: What a version is made from, and the folder of its files.
        """

        def folder_of(model_id: str) -> Path:
            (found,) = mlflow_artifacts.rglob(f"{model_id}/artifacts/{ARTIFACT}")
            return found.parent

        shared = self.judged.challenger
        run = self.client.create_run(
            mlflow_registry.ensure_experiment(self.client, self.spec.model)
        )
        mlflow_registry.log_model_folder(
            self.client, run, folder_of(shared.model_id), name=shared.candidate, tags={}
        )
        tags = self.client.get_run(run.info.run_id).data.tags
        own = {"run_id": run.info.run_id, "model_id": tags[mlflow_registry.TAG_MODEL_ID]}
        return shared.model_copy(update=own), folder_of(own["model_id"])

    def version(
        self,
        day: int,
        *,
        passed: bool = True,
        key: str | None = None,
        logged: CandidateReceipt | None = None,
        stages: dict[str, StageReceipt] | None = None,
    ) -> RegistrationReceipt:
        """
        Register the version of a night, *day* days from AS_OF, judged against who serves now.

        :param logged: What it is made from; by default the one artifact all versions share.
        :param stages: Results of further stages.
        """
        as_of, champion = AS_OF + timedelta(days=day), self.ledger().champion
        challenger = (logged or self.judged.challenger).model_copy(
            update={"model": self.spec.model, "as_of": as_of, "key": key or f"key-{day}"}
        )
        against = champion.version if champion else "none"
        record_key = layout.evaluation_record(self.spec.model, challenger.key, against)
        gates = tuple(gate for gate in self.judged.gates if gate.status != "failed")
        evaluation = self.judged.model_copy(
            update={
                "gates": gates if passed else (*gates, MISSED),
                "model": self.spec.model,
                "as_of": as_of,
                "challenger": challenger,
                "champion_version": champion.version if champion else None,
                "passed": passed,
                "record_key": record_key,
            }
        )
        put_document(self.store, record_key, evaluation)
        asked = f"evaluations/{self.night.spec.model}/{self.judged.challenger.key}/sanity.json"
        if logged is None:  # the same artifact gives the same answers
            self.store.put_if_absent(
                layout.sanity_record(self.spec.model, challenger.key), self.store.get(asked)
            )
        return self.register(evaluation, self.kept.model_copy(update={"as_of": as_of}), stages)

    def log(self, model: Pipeline, example: pd.DataFrame) -> CandidateReceipt:
        """Log a fitted pipeline as training does, for :meth:`version`."""
        from evergreen.modeling.artifacts import save_model

        experiment = mlflow_registry.ensure_experiment(self.client, self.spec.model)
        run = self.client.create_run(experiment)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            sha256, size = save_model(model, path, example=example.head(5), spec=self.spec)
            logged = self.client.create_logged_model(
                experiment, name=self.spec.model, source_run_id=run.info.run_id
            )
            self.client.log_model_artifacts(logged.model_id, str(path))
        self.client.set_terminated(run.info.run_id)
        return self.judged.challenger.model_copy(
            update={
                "run_id": run.info.run_id,
                "model_id": logged.model_id,
                "artifact_sha256": sha256,
                "artifact_bytes": size,
            }
        )

    def ignorant(self) -> CandidateReceipt:
        """A pipeline of the sample that learnt from shuffled labels: clearly worse."""
        from models.flight_delay.pipeline import linear

        frame = load_examples(self.store, self.spec, receipt=self.kept, segments=("fit",))
        labels = np.random.default_rng(0).permutation(frame[self.spec.examples.label])
        model = linear(self.spec.examples, seed=0).fit(
            inputs := frame[list(self.spec.examples.features)], labels
        )
        return self.log(model, inputs)

    def validation(self) -> ValidationReceipt:
        return self.held
