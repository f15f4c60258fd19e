"""Writes down what the SDK sends and what it is answered, one JSON object a line: for machines where
the SDK cannot be had. `-p recorder --exchange FILE`, beside the plugin `cluster`."""

import base64
import json

import httpx
import pytest

KEPT = ("accept", "content-type", "x-sie-machine-profile", "x-sie-pool", "x-sie-sdk-version")


def pytest_addoption(parser):
    parser.addoption("--exchange", required=True)


@pytest.fixture(autouse=True)
def written_down(request, monkeypatch):
    send = httpx.Client.send

    def sending(client, said, **more):
        answer = send(client, said, **more)
        answer.read()
        kind = answer.headers.get("content-type", "")
        line = {
            "test": request.node.name,
            "method": said.method,
            "path": said.url.raw_path.decode(),
            "headers": {name: said.headers[name] for name in KEPT if name in said.headers},
            "body": base64.b64encode(said.content).decode(),
            "status": answer.status_code,
            "kind": kind,
            "answer": shape(answer.json()) if "json" in kind else len(answer.content),
        }
        with open(request.config.getoption("--exchange"), "a") as file:
            file.write(json.dumps(line) + "\n")
        return answer

    monkeypatch.setattr(httpx.Client, "send", sending)


def shape(value):
    """What the answer is made of, without what differs from run to run."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__.replace("int", "number").replace("float", "number")
