"""
SageMaker as a target: the first endpoint on moto's SageMaker and S3, updates against botocore's
own description of the service, since moto knows no UpdateEndpoint.
"""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from evergreen.errors import RolloutError
from evergreen.registry import ledger as ledger_store
from evergreen.release.sagemaker import SageMakerTarget
from evergreen.release.targets import BackedOutError, Proven, Waiting
from evergreen.spec.release import Deployment, SageMaker
from evergreen.storage.folder import FolderStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = SageMaker(
    endpoint="flights",
    role="arn:aws:iam::123456789012:role/sm",
    image="evergreen:1",
    data="s3://models/evergreen",
    alarms=("flights-p95", "flights-5xx"),
)
NAME = "flights-2-" + "a" * 12
UPDATE = {
    "EndpointName": "flights",
    "EndpointConfigName": NAME,
    "DeploymentConfig": {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": 600,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
            },
            "TerminationWaitInSeconds": 600,
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {
            "Alarms": [{"AlarmName": "flights-p95"}, {"AlarmName": "flights-5xx"}]
        },
    },
}


@pytest.fixture
def intent(trained):
    night, _ = trained
    return ledger_store.LedgerEntry(
        step="intent",
        action="promote",
        model=night.spec.model,
        version="2",
        previous="1",
        as_of=NOW,
        serves_from=NOW,
        artifact_sha256="a" * 64,
        actor="test",
        reason="",
        recorded_at=NOW,
    )


@pytest.fixture
def credentials(monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture
def target(trained, credentials, tmp_path):
    """The target with a stubbed SageMaker that checks each call against the service's model."""
    client = boto3.client("sagemaker")
    with mock_aws(), Stubber(client) as stub:
        s3 = boto3.client("s3")
        s3.create_bucket(
            Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        made = SageMakerTarget(
            FolderStore(tmp_path),
            trained[0].spec,
            ASKED,
            archive=lambda _: b"archive",
            sagemaker=client,
            s3=s3,
        )
        yield made, stub, s3
        stub.assert_no_pending_responses()


def endpoint(state: str, config: str, **more) -> dict:
    return {
        "EndpointName": "flights",
        "EndpointArn": "arn:aws:sagemaker:e:1:endpoint/flights",
        "EndpointStatus": state,
        "EndpointConfigName": config,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
    } | more


def prove(made, intent):
    ledger = ledger_store.read_ledger(made.store, made.spec.model)
    return made.prove(ledger, intent, now=NOW)


def steps(made) -> list[str]:
    return [
        str(e.stage or e.step)
        for e in ledger_store.read_ledger(made.store, made.spec.model).entries
    ]


def send(stub) -> None:
    """Expect what is sent for a new version to an endpoint that is in service with another."""
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:"
    stub.add_response("describe_endpoint", endpoint("InService", "flights-1-old"))
    stub.add_response("create_model", {"ModelArn": f"{arn}model/flights-2"})
    stub.add_response("create_endpoint_config", {"EndpointConfigArn": f"{arn}endpoint-config/x"})
    stub.add_response("update_endpoint", {"EndpointArn": f"{arn}endpoint/flights"}, UPDATE)


def test_the_first_version_makes_the_endpoint_on_moto(new_history, credentials, monkeypatch):
    """The archive is a model server's disk: the server starts from it with nothing else there."""
    history = new_history()
    deployment = Deployment(target="sagemaker", sagemaker=ASKED)
    history.spec = history.spec.model_copy(update={"deployment": deployment})
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(
            Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        registration = history.version(0)

        first = history.deploy(registration)
        done = first
        for _ in range(5):
            if not isinstance(done, Waiting):
                break
            done = history.deploy(registration)

        aws = boto3.client("sagemaker")
        found = aws.describe_endpoint(EndpointName="flights")
        config = aws.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
        model = aws.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
        place = model["PrimaryContainer"]["ModelDataUrl"].removeprefix("s3://models/")
        data = s3.get_object(Bucket="models", Key=place)["Body"].read()

    assert isinstance(first, Waiting)
    assert done.moved
    assert history.champion() == "1"
    assert "in service with it" in history.ledger().entries[-1].reason
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
    assert f"serving/{history.spec.model}.json" in names
    assert any(name.endswith("/model.skops") for name in names)
    environ = model["PrimaryContainer"]["Environment"]
    assert environ["EVERGREEN_SERVING_CACHE"] == "/opt/ml/model"


def test_an_update_goes_in_canary_steps_under_the_alarms(target, intent):
    made, stub, s3 = target
    send(stub)
    stub.add_response("describe_endpoint", endpoint("Updating", "flights-1-old"))
    stub.add_response("describe_endpoint", endpoint("InService", NAME))

    asked, busy, done = (prove(made, intent) for _ in range(3))

    assert isinstance(asked, Waiting)
    assert busy.message == "endpoint flights is updating; version 2 was sent"
    assert done == Proven(message="endpoint flights is in service with it")
    assert steps(made) == ["load"]
    key = f"evergreen/{made.spec.model}/{NAME}/model.tar.gz"
    assert s3.get_object(Bucket="models", Key=key)["Body"].read() == b"archive"


def test_an_update_that_amazon_rolled_back_is_backed_out(target, intent):
    made, stub, _ = target
    send(stub)
    why = "alarm flights-p95 went off"
    back = endpoint("InService", "flights-1-old", FailureReason=why)
    stub.add_response("describe_endpoint", back)
    prove(made, intent)

    with pytest.raises(BackedOutError, match="answers with flights-1-old: alarm flights-p95"):
        prove(made, intent)

    assert steps(made) == ["load", "backed_out"]


def test_killed_before_it_was_written_down_it_is_sent_again_not_backed_out(target, intent):
    made, stub, _ = target
    send(stub)
    made._send(NAME, intent, is_new=made._endpoint() is None)  # and here the task was killed
    stub.add_response("describe_endpoint", endpoint("Updating", "flights-1-old"))
    stub.add_response("describe_endpoint", endpoint("InService", NAME))

    assert isinstance(prove(made, intent), Waiting)
    assert isinstance(prove(made, intent), Proven)
    assert steps(made) == ["load"]


def test_a_broken_endpoint_is_not_updated(target, intent):
    made, stub, _ = target
    stub.add_response("describe_endpoint", endpoint("Failed", "x", FailureReason="no capacity"))

    with pytest.raises(RolloutError, match=r"is Failed \(no capacity\), so version 2 was not sent"):
        prove(made, intent)


def test_no_permission_is_no_missing_endpoint(target, intent):
    from botocore.exceptions import ClientError

    made, stub, _ = target
    stub.add_client_error("describe_endpoint", "AccessDeniedException", "not allowed")

    with pytest.raises(ClientError, match="not allowed"):
        prove(made, intent)
