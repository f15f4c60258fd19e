"""A decomposer: turns a query into sub-queries. This one splits it at a word."""

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
            description="splits a query at a word",
            params=[Param("word", ParamKind.TEXT, '"and"', "where the query is split")],
        )


class WitWorld(wit_world.WitWorld):
    def decompose(self, query, limit, params):
        word = {name: value.value for name, value in params}.get("word", "and").strip()
        if not word:
            raise Err(Error_Invalid("`word` must not be empty"))
        parts = [part for part in query.split(f" {word} ") if part != query]
        return [text for text in [query, *parts] if text.strip()][:limit]
