"""SIE's own SDK, as users call it, against a router with workers of this project behind it.

Both generations of the SDK run this file. What the cluster is made of says tests/e2e/sie.rs: machines
of the profile `l4`, `a100-80gb` configured but absent, and a catalogue in which MODEL is in the
bundle `default` alone.
"""

import asyncio
import inspect
import time

import numpy as np
import pytest
from sie_sdk import (
    PoolError,
    ProvisioningError,
    RequestError,
    SIEAsyncClient,
    SIEClient,
)

TEXTS = ["why is the sky blue", "how do bees find their way", "what makes bread rise"]


@pytest.fixture
def client(cluster):
    with SIEClient(cluster.url, api_key=cluster.key) as client:
        yield client


def test_one_text_and_a_list(client, cluster):
    one = client.encode(cluster.model, {"text": TEXTS[0]})
    assert one["dense"].dtype == np.float32 and one["dense"].ndim == 1
    assert np.isclose(np.linalg.norm(one["dense"]), 1, atol=1e-3)
    items = [{"id": str(at), "text": text} for at, text in enumerate(TEXTS)]
    many = client.encode(cluster.model, items, gpu="l4")
    assert [item["id"] for item in many] == ["0", "1", "2"]
    assert np.allclose(many[0]["dense"], one["dense"], atol=0.02)
    half = client.encode(cluster.model, {"text": TEXTS[0]}, output_dtype="float16")
    assert half["dense"].dtype == np.float16


def test_other_outputs(client, cluster):
    sparse = client.encode(cluster.sparse, {"text": TEXTS[0]}, output_types=["sparse"])
    assert len(sparse["sparse"]["indices"]) == len(sparse["sparse"]["values"]) > 0
    several = client.encode(cluster.late, {"text": TEXTS[0]}, output_types=["multivector"])
    assert several["multivector"].ndim == 2


def test_scores(client, cluster):
    items = [{"id": "a", "text": "an oven bakes bread"}, {"text": TEXTS[2]}]
    result = client.score(cluster.reranker, {"text": TEXTS[2]}, items)
    assert [entry["rank"] for entry in result["scores"]] == [0, 1]
    assert {entry["item_id"] for entry in result["scores"]} == {"a", "item-1"}
    scores = [entry["score"] for entry in result["scores"]]
    assert scores == sorted(scores, reverse=True)


def test_extraction_is_refused_for_a_model_that_encodes(client, cluster):
    with pytest.raises(RequestError) as refused:
        client.extract(cluster.model, {"text": "Marie Curie"}, labels=["person"])
    assert 400 <= refused.value.status_code < 500


def test_models(client, cluster):
    models = {model["name"]: model for model in client.list_models()}
    assert models[cluster.model]["loaded"]
    assert {"inputs", "outputs", "dims"} <= models[cluster.model].keys()
    model = client.get_model(cluster.model)
    assert model["name"] == cluster.model and model["dims"]["dense"] > 0


def test_capacity(client):
    capacity = client.get_capacity()
    assert capacity["status"] == "healthy" and capacity["worker_count"] == 2
    assert capacity["configured_gpu_types"] == ["l4", "a100-80gb"]
    assert client.get_capacity(gpu="l4")["worker_count"] == 2
    assert client.get_capacity(gpu="a100-80gb")["worker_count"] == 0
    assert client.wait_for_capacity("l4", timeout_s=5)["worker_count"] == 2


def test_pools(client, cluster):
    client.create_pool("probe", {"l4": 1})
    info = client.get_pool("probe")
    assert info["status"]["state"] == "active"
    assert len(info["status"]["assigned_workers"]) == 1
    result = client.encode(cluster.model, {"text": TEXTS[0]}, gpu="probe/l4")
    assert result["dense"].ndim == 1
    assert client.get_pool("unknown") is None
    with pytest.raises(PoolError):
        client.create_pool("of-nothing", {"no-such-machine": 1})
    assert client.delete_pool("probe") is True
    assert client.delete_pool("probe") is False
    with pytest.raises(PoolError):
        client.delete_pool("default")


def test_machines_that_are_not_there_yet(client, cluster):
    with pytest.raises(ProvisioningError) as refused:
        client.encode(
            cluster.model, {"text": "x"}, gpu="a100-80gb", wait_for_capacity=False
        )
    assert refused.value.retry_after > 0
    begun = time.monotonic()
    with pytest.raises(ProvisioningError):
        client.encode(cluster.model, {"text": "x"}, gpu="a100-80gb", provision_timeout_s=3)
    assert time.monotonic() - begun < 10


def test_names_that_are_wrong(client, cluster):
    with pytest.raises(RequestError) as unknown:
        client.encode("no/such-model", {"text": "x"})
    assert unknown.value.status_code == 404
    with pytest.raises(RequestError) as conflict:
        client.encode(f"other:/{cluster.model}", {"text": "x"})
    assert conflict.value.status_code == 409


@pytest.mark.parametrize("mode", ["auto", "cluster"])
def test_watching(client, mode):
    frame = next(iter(client.watch(mode=mode)))
    assert frame["cluster"]["worker_count"] == 2
    assert {worker["gpu"] for worker in frame["workers"]} == {"l4"}


def test_the_async_client_and_a_pool_of_its_own(cluster):
    async def run():
        pool = {"name": "async-probe", "gpus": {"l4": 1}}
        client = SIEAsyncClient(cluster.url, api_key=cluster.key, pool=pool)
        try:
            result = await client.encode(cluster.model, {"text": TEXTS[0]})
            assert result["dense"].ndim == 1
            assert (await client.get_pool("async-probe"))["status"]["state"] == "active"
            watching = client.watch()
            watching = await watching if inspect.isawaitable(watching) else watching
            async for frame in watching:
                assert frame["cluster"]["worker_count"] == 2
                break
            assert await client.delete_pool("async-probe") is True
        finally:
            await client.close()

    asyncio.run(run())
