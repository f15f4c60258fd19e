"""RoutIR 0.0.2's client against this server: every call, over both wires."""

import asyncio

import pytest
from routir.client import AsyncClient, Client, RoutirClientError

QUERY = "java coffee"
PIPELINE = "{bm25%20, title%20, trigram%20}RRF[f]%10 >> overlap%5"


def ranked(answer):
    """What does not differ from run to run. The client's own maps have no order."""
    return {key: value for key, value in answer.items() if key in ("query", "scores")}


async def both(server_both):
    """A client of each wire."""
    rest_url, grpc_target = server_both
    rest = AsyncClient(endpoint=rest_url, transport="rest")
    grpc = AsyncClient(grpc_endpoint=grpc_target, transport="grpc")
    await rest.ping()
    await grpc.ping()
    assert (rest.transport, grpc.transport) == ("rest", "grpc")
    return rest, grpc


async def test_every_call_answers_the_same_over_both_wires(server_both):
    rest, grpc = await both(server_both)
    calls = [
        lambda client: client.search("bm25", QUERY, limit=7),
        lambda client: client.search("bm25", QUERY),
        lambda client: client.pipeline(PIPELINE, QUERY, collection="quickstart"),
        lambda client: client.pipeline(
            "{bm25%20, title%20}RRF[f]%10", QUERY, runtime_kwargs={"f": {"rrf_k": 60}}
        ),
        lambda client: client.pipeline("hybrid", QUERY),
        lambda client: client.score("overlap", "java island", ["java", "an island", "", "ö"]),
    ]
    for call in calls:
        over_rest, over_grpc = await call(rest), await call(grpc)
        assert over_rest["scores"], over_rest
        assert ranked(over_rest) == ranked(over_grpc)
        assert over_grpc["timestamp"] > 1.6e9
    found = next(iter((await rest.search("bm25", QUERY))["scores"]))
    over_rest = await rest.content("quickstart", found)
    over_grpc = await grpc.content("quickstart", found)
    assert over_rest["text"] == over_grpc["text"] and over_grpc["id"] == found
    await rest.close()
    await grpc.close()


async def test_arguments_reach_the_engine_over_both_wires(server_both):
    for client in await both(server_both):
        default = await client.pipeline("{bm25%20, title%20}RRF[f]%10", QUERY)
        other = await client.pipeline(
            "{bm25%20, title%20}RRF[f]%10", QUERY, runtime_kwargs={"f": {"rrf_k": 60}}
        )
        assert default["scores"] != other["scores"]
        with pytest.raises(RoutirClientError, match="(?i)rrf_kk"):
            await client.pipeline(
                "{bm25, title}RRF[f]", QUERY, runtime_kwargs={"f": {"rrf_kk": 60}}
            )
        await client.close()


async def test_what_is_wrong_is_an_error_and_not_tried_again(server_both):
    for client in await both(server_both):
        # A second attempt would wait for 0.1 s and more; ten would be noticed.
        client.retries = 10
        for call, what in [
            (client.search("nosuch", QUERY), "Service 'nosuch' not found"),
            (client.search("bm25", QUERY, limit=-1), "limit"),
            (client.content("quickstart", "no-such-id"), "ID no-such-id is not found."),
            (client.content("nosuch", "x"), "nosuch"),
            (client.pipeline("bm25 >>", QUERY), None),
            (client.pipeline("bm25 >> overlap", QUERY), "requires a `collection` field"),
        ]:
            with pytest.raises(RoutirClientError) as raised:
                await asyncio.wait_for(call, 5)
            assert what is None or what in str(raised.value)
            assert "attempts" not in str(raised.value), raised.value
        await client.close()


async def test_batches_and_many_calls_at_once(server_both):
    for client in await both(server_both):
        payloads = [{"service": "bm25", "query": QUERY, "limit": n} for n in range(1, 30)]
        answers = await client.search_batch(payloads)
        assert [len(answer["scores"]) for answer in answers] == [
            min(n, len(answers[-1]["scores"])) for n in range(1, 30)
        ]
        payload = {"service": "overlap", "query": "java", "passages": ["java"] * 300}
        scored = await client.score_batch([payload] * 20)
        assert all(len(answer["scores"]) == 300 for answer in scored)
        await client.close()


async def test_passages_are_texts_whatever_they_look_like(server_both):
    passages = ["\njava", "\n\n", "\x12", "", "java\n" * 50, "a\x00b", "日本語"]
    rest, grpc = await both(server_both)
    over_rest = await rest.score("overlap", "java", passages)
    over_grpc = await grpc.score("overlap", "java", passages)
    assert over_rest["scores"] == over_grpc["scores"]
    assert len(over_grpc["scores"]) == over_grpc["meta"]["n_passages"] == len(passages)
    await rest.close()
    await grpc.close()


def test_the_synchronous_client(server_both):
    rest_url, grpc_target = server_both
    for transport in ["rest", "grpc", "auto"]:
        with Client(rest_url, grpc_endpoint=grpc_target, transport=transport) as client:
            assert client.ping() == {"status": "pong"}
            assert client.transport == ("rest" if transport == "rest" else "grpc")
            assert "bm25" in client.avail()["search"]
            assert len(client.search("bm25", QUERY, limit=3)["scores"]) == 3
            assert client.pipeline(PIPELINE, QUERY, collection="quickstart")["scores"]
            found = next(iter(client.search("bm25", QUERY)["scores"]))
            assert client.content("quickstart", found)["text"]


async def test_the_key_is_asked_for_over_both_wires(server_authed):
    rest_url, grpc_target, key = server_authed
    for transport in ["rest", "grpc"]:
        options = {"grpc_endpoint": grpc_target, "transport": transport}
        async with AsyncClient(rest_url, api_key=key, **options) as client:
            assert (await client.search("bm25", QUERY, limit=2))["scores"]
        for wrong in [None, "wrong"]:
            async with AsyncClient(rest_url, api_key=wrong, **options) as client:
                assert await client.ping() == {"status": "pong"}
                with pytest.raises(RoutirClientError, match="401|UNAUTHENTICATED"):
                    await client.search("bm25", QUERY)


async def test_auto_discovery_bears_the_key(server_authed):
    rest_url, grpc_target, key = server_authed
    async with AsyncClient(rest_url, api_key=key) as client:
        assert client.transport == "grpc"
        assert client.grpc_endpoint.rsplit(":", 1)[1] == grpc_target.rsplit(":", 1)[1]
        assert (await client.search("bm25", QUERY))["scores"]
