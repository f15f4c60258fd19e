"""What the tests ask for: servers that already run, given on the command line.

RoutIR's own tests of its client come with fixtures that start its own server; these stand in their
place, so that the same tests are aimed at ours.
"""

import pytest


def pytest_addoption(parser):
    """Where the servers are."""
    parser.addoption("--both", nargs=2, metavar=("URL", "HOST:PORT"))
    parser.addoption("--rest-only", metavar="URL")
    parser.addoption("--authed", nargs=3, metavar=("URL", "HOST:PORT", "KEY"))


@pytest.fixture
def server_both(request):
    """REST and gRPC, open to everybody."""
    return tuple(request.config.getoption("--both"))


@pytest.fixture
def server_rest_only(request):
    """REST alone."""
    return request.config.getoption("--rest-only")


@pytest.fixture
def server_authed(request):
    """REST and gRPC, for those who bear the key."""
    return tuple(request.config.getoption("--authed"))
