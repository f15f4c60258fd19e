"""The level after RoutIR 0.0.2, and what is ours alone, with stubs made of our contract.

In a process of its own: RoutIR's stubs and these register messages of the same names.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

import grpc
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERY = "java coffee"


@pytest.fixture(scope="session")
def stubs():
    """The generated modules, by their short names."""
    files = ["routir/v1/routir.proto", "routir_rt/v1/pipelines.proto"]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"]
        flags = [f"--python_out={out}", f"--grpc_python_out={out}"]
        subprocess.run(command + flags + files, check=True)
        # Packages, or RoutIR's own of the same name, though later on the path, would hide them.
        for package in ("routir", "routir/v1", "routir_rt", "routir_rt/v1"):
            (pathlib.Path(out) / package / "__init__.py").touch()
        sys.path.insert(0, out)
        names = ["routir.v1.routir_pb2", "routir.v1.routir_pb2_grpc"]
        names += ["routir_rt.v1.pipelines_pb2", "routir_rt.v1.pipelines_pb2_grpc"]
        yield [importlib.import_module(name) for name in names]
        sys.path.remove(out)


@pytest.fixture
def channel(server_both):
    """A connection."""
    with grpc.insecure_channel(server_both[1]) as channel:
        yield channel


def test_avail_tells_kinds(stubs, channel):
    pb, pb_grpc, *_ = stubs
    avail = pb_grpc.RoutirStub(channel).Avail(pb.AvailRequest())
    views = avail.content_views["quickstart"]
    assert dict(views.views) == {"text": "text", "title": "text"}
    assert views.default == "text"
    assert avail.score_view_kinds["overlap"] == "text"
    assert "quickstart" in avail.services["content"].items


def test_content_by_view(stubs, channel):
    pb, pb_grpc, *_ = stubs
    stub = pb_grpc.RoutirStub(channel)
    found = next(iter(stub.Search(pb.SearchRequest(service="bm25", query=QUERY)).scores))
    texts = {}
    for view in ["text", "title", None]:
        content = stub.Content(pb.ContentRequest(collection="quickstart", id=found, view=view))
        assert content.WhichOneof("payload") == "text"
        assert content.view == (view or "text")
        texts[view] = content.text
    assert texts["text"].startswith(texts["title"]) and texts["text"] != texts["title"]
    assert texts[None] == texts["text"]
    with pytest.raises(grpc.RpcError) as refused:
        stub.Content(pb.ContentRequest(collection="quickstart", id=found, view="nosuch"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_passages_as_messages(stubs, channel):
    pb, pb_grpc, *_ = stubs
    stub = pb_grpc.RoutirStub(channel)
    texts = ["java", "an island", "", "\njava"]
    plain = pb.ScoreRequest(service="overlap", query="java", passages=[t.encode() for t in texts])
    wrapped = pb.ScoreRequest(
        service="overlap",
        query="java",
        passages=[pb.Passage(text=text).SerializeToString() for text in texts],
    )
    assert list(stub.Score(plain).scores) == list(stub.Score(wrapped).scores)
    parts = pb.Passage(bytes=pb.BytesParts(parts=[b"\x89PNG"])).SerializeToString()
    wrong = pb.ScoreRequest(service="overlap", query="java", passages=[parts])
    with pytest.raises(grpc.RpcError) as refused:
        stub.Score(wrong)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "scores text" in refused.value.details()


def test_stages_as_they_end(stubs, channel):
    pb, pb_grpc, rt, rt_grpc = stubs
    call = pb.PipelineRequest(
        pipeline="{bm25%20, title%20}RRF%10 >> overlap%5", query=QUERY, collection="quickstart"
    )
    request = rt.PipelineStreamRequest(call=call)
    *stages, last = list(rt_grpc.PipelinesStub(channel).PipelineStream(request))
    assert [event.stage.stage for event in stages][-2:] == ["RRF", "overlap"]
    assert {event.stage.stage for event in stages} == {"bm25", "title", "RRF", "overlap"}
    whole = pb_grpc.RoutirStub(channel).Pipeline(call)
    assert {hit.id: hit.score for hit in last.result.hits} == dict(whole.scores)
    scores = [(-hit.score, hit.id) for hit in last.result.hits]
    assert scores == sorted(scores), "best first"


def test_a_stream_that_fails_says_so(stubs, channel):
    pb, _, rt, rt_grpc = stubs
    call = pb.PipelineRequest(pipeline="bm25 >> nosuch", query=QUERY, collection="quickstart")
    with pytest.raises(grpc.RpcError) as refused:
        list(rt_grpc.PipelinesStub(channel).PipelineStream(rt.PipelineStreamRequest(call=call)))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    assert "nosuch" in refused.value.details()
