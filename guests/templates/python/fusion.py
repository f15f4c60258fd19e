"""A fusion: answers one score per document. This one is reciprocal rank fusion."""

import wit_world
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Info, Param, ParamKind
from wit_world.imports.types import Error_Invalid


class Manifest(exports.Manifest):
    def describe(self):
        return Info(
            name="my-extension",
            version="0.1.0",
            description="reciprocal rank fusion",
            params=[Param("k", ParamKind.NUMBER, "60", "added to every rank, at least 0")],
        )


class WitWorld(wit_world.WitWorld):
    def fuse(self, query, lists, doc_count, params):
        k = {name: value.value for name, value in params}.get("k", 60.0)
        if k < 0:
            raise Err(Error_Invalid(f"`k` must be at least 0, not {k:g}"))
        scores = [0.0] * doc_count
        for ranked in lists:
            for rank, doc in enumerate(ranked.docs, 1):
                scores[doc] += 1 / (k + rank)
        return scores
