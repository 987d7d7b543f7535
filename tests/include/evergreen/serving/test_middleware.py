"""Who gets through to the pages, and what the OpenAPI page says about it."""

from __future__ import annotations

import base64

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from evergreen.serving.middleware import OPEN, Guard, describe_security

TOKEN, OTHER = "a-token-for-the-tests", "another-token-of-the-tests"


def client(*tokens: str) -> TestClient:
    app = FastAPI()

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/page")
    def page() -> str:
        return "page"

    for path in OPEN:
        app.get(path)(page)
    app.add_middleware(Guard, tokens=tokens, max_bytes=100)
    return TestClient(app)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "sent",
    [
        f"Bearer {TOKEN}",
        f"bearer {OTHER}",
        f"Bearer   {TOKEN} ",
        basic(f"anybody:{TOKEN}"),
        basic(f":{OTHER}"),
        basic(f"anybody:{TOKEN}").replace("Basic", "bAsIc"),
    ],
)
def test_a_known_token_opens_every_page(sent):
    http = client(TOKEN, OTHER)

    assert http.get("/page", headers={"Authorization": sent}).status_code == 200
    assert http.get("/openapi.json", headers={"Authorization": sent}).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        "Bearer ä-token".encode(),
        f"Token {TOKEN}",
        f"Basic {TOKEN}",
        "Basic x",
        "Basic %%%",
        basic("no colon"),
        basic(f"{TOKEN}:wrong"),
        basic("anybody:ä"),
    ],
)
@pytest.mark.parametrize("path", ["/page", "/docs", "/openapi.json", "/unknown"])
def test_anything_else_is_answered_with_401_and_how_to_send_a_token(sent, path):
    answer = client(TOKEN).get(path, headers={"Authorization": sent} if sent else {})

    assert answer.status_code == 401
    assert answer.json() == {
        "error": "send a known token as 'Authorization: Bearer <token>', or as a password"
    }
    assert answer.headers["www-authenticate"] == (
        'Basic realm="Evergreen model server: the token as password"'
    )
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", OPEN)
def test_the_health_pages_need_no_token(path):
    assert client(TOKEN).get(path).status_code == 200


def test_without_tokens_all_is_open():
    assert client().get("/page").status_code == 200


def test_a_body_is_refused_before_it_is_read_without_a_token_and_when_it_is_too_large():
    http, known = client(TOKEN), {"Authorization": f"Bearer {TOKEN}"}

    assert http.post("/size", content=b"x" * 1000).status_code == 401
    assert http.post("/size", content=b"x" * 100, headers=known).json() == 100
    announced = http.post("/size", content=b"x" * 101, headers=known)
    unannounced = http.post("/size", content=iter([b"x" * 60] * 2), headers=known)

    for answer in (announced, unannounced):
        assert answer.status_code == 413
        assert answer.json() == {
            "error": "the body is larger than 100 bytes; send fewer rows at a time"
        }
        assert answer.headers["connection"] == "close"


def test_the_openapi_page_names_both_ways_to_send_a_token():
    http = client()
    page = http.get("/openapi.json").json()

    describe_security(page)

    schemes = page["components"]["securitySchemes"]
    assert {name: (one["type"], one["scheme"]) for name, one in schemes.items()} == {
        "HTTPBearer": ("http", "bearer"),
        "HTTPBasic": ("http", "basic"),
    }
    assert page["paths"]["/page"]["get"]["security"] == [{"HTTPBearer": []}, {"HTTPBasic": []}]
    assert "security" not in page["paths"]["/ping"]["get"]
