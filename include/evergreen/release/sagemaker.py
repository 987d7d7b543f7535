"""
Amazon SageMaker as a target: it shifts the traffic and rolls back by CloudWatch alarms.

What an endpoint answers with is named after the version's digest, and that the version was sent
there stands in the ledger: every call can be repeated, and a deploy that was killed goes on. See
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green-canary.html.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from evergreen.errors import RolloutError
from evergreen.registry import ledger as ledger_store
from evergreen.release.targets import (
    BackedOutError,
    Proven,
    Target,
    Waiting,
    append_step,
    stop_rollout,
)
from evergreen.serving.model_cache import ModelCache
from evergreen.spec import ModelSpec
from evergreen.spec.release import RolloutStage, SageMaker
from evergreen.storage.base import ObjectStore
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow import MlflowClient

VARIANT = "champion"
#: States in which SageMaker is still at work.
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class SageMakerTarget(Target):
    """
    Create the endpoint with the version, or update it in canary steps under its alarms.

    :param archive: Returns the version as the ``model.tar.gz`` that SageMaker unpacks for us.
    :param sagemaker: A boto3 client of the service, and *s3* one of the store of the archives.
    """

    def __init__(
        self,
        store: ObjectStore,
        spec: ModelSpec,
        asked: SageMaker,
        *,
        archive: Callable[[ledger_store.LedgerEntry], bytes],
        sagemaker: Any,
        s3: Any,
    ) -> None:
        self.store, self.spec, self.asked, self.archive = store, spec, asked, archive
        self.sagemaker, self.s3 = sagemaker, s3

    def prove(
        self, ledger: ledger_store.Ledger, intent: ledger_store.LedgerEntry, *, now: datetime
    ) -> Waiting | Proven:
        """Ask SageMaker for the version, then see what became of it."""
        name = f"{self.asked.endpoint}-{intent.version}-{intent.artifact_sha256[:12]}"[:63]
        running = ledger.rollout
        if running is not None and running.entry.version != intent.version:
            ledger = stop_rollout(
                self.store, ledger, f"version {intent.version} replaced it", now=now
            )
            running = None
        endpoint = self._endpoint()
        state = "missing" if endpoint is None else str(endpoint["EndpointStatus"])
        serves = None if endpoint is None else endpoint.get("EndpointConfigName")
        why = None if endpoint is None else endpoint.get("FailureReason")
        if state not in BUSY:
            if serves == name and state == "InService":
                return Proven(message=f"endpoint {self.asked.endpoint} is in service with it")
            if running is not None:
                message = (
                    f"endpoint {self.asked.endpoint} is {state} and answers with {serves}: "
                    f"{why or 'an alarm went off'}"
                )
                append_step(self.store, ledger, intent, step="backed_out", message=message, now=now)
                raise BackedOutError(message)
            if state not in ("InService", "missing"):
                raise RolloutError(
                    f"Endpoint {self.asked.endpoint} is {state} ({why}), so version "
                    f"{intent.version} was not sent there. Repair or delete the endpoint, then "
                    "clear this task."
                )
            self._send(name, intent, is_new=endpoint is None)
        message = (
            f"endpoint {self.asked.endpoint} is {state.lower()}; version {intent.version} was sent"
        )
        if running is None:
            stage = RolloutStage(kind="load")
            ledger = append_step(
                self.store, ledger, intent, step="stage", message=message, now=now, stage=stage
            )
        return Waiting(version=intent.version, message=message)

    def _send(self, name: str, intent: ledger_store.LedgerEntry, *, is_new: bool) -> None:
        """Ask for the version, perhaps again: an attempt can die before it wrote that down."""
        self._put_config(name, intent)
        if is_new:
            self.sagemaker.create_endpoint(
                EndpointName=self.asked.endpoint, EndpointConfigName=name
            )
        else:
            self.sagemaker.update_endpoint(
                EndpointName=self.asked.endpoint,
                EndpointConfigName=name,
                DeploymentConfig=self._guardrails(),
            )

    def _endpoint(self) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            found: dict[str, Any] = self.sagemaker.describe_endpoint(
                EndpointName=self.asked.endpoint
            )
        except ClientError as error:
            if "Could not find" in str(error):  # SageMaker says ValidationException for this
                return None
            raise
        return found

    def _put_config(self, name: str, intent: ledger_store.LedgerEntry) -> None:
        """Upload the version and describe it; what an earlier attempt made is used again."""
        place = urlsplit(self.asked.data)
        key = f"{place.path.strip('/')}/{self.spec.model}/{name}/model.tar.gz".lstrip("/")
        self.s3.put_object(Bucket=place.netloc, Key=key, Body=self.archive(intent))
        tags = [
            {"Key": "evergreen.model", "Value": self.spec.model},
            {"Key": "evergreen.version", "Value": intent.version},
        ]
        container = {
            "Image": self.asked.image,
            "ModelDataUrl": f"s3://{place.netloc}/{key}",
            "Environment": {
                "EVERGREEN_SERVING_MODELS": self.spec.model,
                "EVERGREEN_SERVING_AUTH": "off",  # SageMaker asks for IAM before it calls
                "EVERGREEN_SERVING_PORT": "8080",
                "EVERGREEN_SERVING_HOST": "0.0.0.0",  # noqa: S104 - inside its container
                "EVERGREEN_SERVING_CACHE": "/opt/ml/model",  # where SageMaker unpacks the archive
                # Nothing is followed there: what serves is what SageMaker was given.
                "EVERGREEN_SERVING_STORE": "file:///tmp/evergreen",
                "EVERGREEN_SERVING_MLFLOW": "http://127.0.0.1:9",
            },
        }
        _once(
            self.sagemaker.create_model,
            ModelName=name,
            PrimaryContainer=container,
            ExecutionRoleArn=self.asked.role,
            Tags=tags,
        )
        variant = {
            "VariantName": VARIANT,
            "ModelName": name,
            "InstanceType": self.asked.instance_type,
            "InitialInstanceCount": self.asked.instances,
        }
        _once(
            self.sagemaker.create_endpoint_config,
            EndpointConfigName=name,
            ProductionVariants=[variant],
            Tags=tags,
        )

    def _guardrails(self) -> dict[str, Any]:
        """Return a blue/green update in canary steps that rolls back when an alarm goes off."""
        bake_s = 60 * self.asked.bake_minutes
        return {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": {
                    "Type": "CANARY",
                    "WaitIntervalInSeconds": bake_s,
                    "CanarySize": {
                        "Type": "CAPACITY_PERCENT",
                        "Value": round(100 * self.asked.canary_share),
                    },
                },
                "TerminationWaitInSeconds": bake_s,
                "MaximumExecutionTimeoutInSeconds": max(4 * bake_s, 3600),
            },
            "AutoRollbackConfiguration": {
                "Alarms": [{"AlarmName": name} for name in self.asked.alarms]
            },
        }


def connect(workspace: Workspace) -> SageMakerTarget:
    """Return the target with boto3's own way to find region and credentials."""
    import boto3  # half a second, and only a spec with this target needs it

    asked = workspace.spec.deployment.sagemaker
    if asked is None:
        raise ValueError(f"{workspace.spec.model} has no section deployment.sagemaker")
    return SageMakerTarget(
        workspace.store,
        workspace.spec,
        asked,
        archive=lambda entry: _archive(workspace.client, workspace.spec, entry),
        sagemaker=boto3.client("sagemaker"),
        s3=boto3.client("s3"),
    )


def _archive(client: MlflowClient, spec: ModelSpec, entry: ledger_store.LedgerEntry) -> bytes:
    """Return the version as the model server keeps it on its disk: it starts from that alone."""
    with tempfile.TemporaryDirectory() as folder:
        cache = ModelCache(Path(folder))
        cache.remember(spec.model, cache.fetch(client, spec.model, entry))
        files = {key: cache.store.get(key) for key in cache.store.list("")}
    return _tar(files)


def _tar(files: dict[str, bytes]) -> bytes:
    """Return *files* as one archive; the same files always give the same bytes inside."""
    page = io.BytesIO()
    with tarfile.open(fileobj=page, mode="w:gz") as archive:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return page.getvalue()


def _once(create: Callable[..., Any], **wanted: Any) -> None:
    from botocore.exceptions import ClientError

    try:
        create(**wanted)
    except ClientError as error:
        if "already exist" not in str(error):
            raise
