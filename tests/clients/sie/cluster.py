"""Where the router is and what its workers host, from the command line."""

import os
from dataclasses import dataclass

import pytest


@dataclass
class Cluster:
    url: str
    key: str | None
    model: str
    sparse: str
    late: str
    reranker: str


def pytest_addoption(parser):
    parser.addoption("--router", required=True)
    for model in ("model", "sparse", "late", "reranker"):
        parser.addoption(f"--{model}", required=True)


@pytest.fixture(scope="session")
def cluster(request):
    said = request.config.getoption
    names = {name: said(f"--{name}") for name in ("model", "sparse", "late", "reranker")}
    return Cluster(said("--router"), os.environ.get("ROUTER_KEY"), **names)
