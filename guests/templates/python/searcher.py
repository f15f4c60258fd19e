"""A searcher: finds documents for a query.

This one asks a service of the server, and keeps what scores well.
"""

import wit_world
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Info, Param, ParamKind
from wit_world.imports import host
from wit_world.imports.types import Error_Invalid, Hits


class Manifest(exports.Manifest):
    def describe(self):
        return Info(
            name="my-extension",
            version="0.1.0",
            description="what a service finds above a share of its best score",
            params=[
                Param("service", ParamKind.TEXT, None, "who searches; needed"),
                Param("share", ParamKind.NUMBER, "0.5", "of the best score, 0 to 1"),
            ],
        )


class WitWorld(wit_world.WitWorld):
    def search(self, query, limit, params):
        given = {name: value.value for name, value in params}
        if not given.get("service"):
            raise Err(Error_Invalid("`service` is needed"))
        # Several requests in one call run at the same time.
        request = host.SearchRequest(
            pipeline=given["service"], query=query, collection=None, limit=limit, params=[]
        )
        [answer] = host.search([request])
        if isinstance(answer, Err):
            raise answer
        found = answer.value
        floor = max(found.scores, default=0.0) * given.get("share", 0.5)
        kept = [place for place, score in enumerate(found.scores) if score >= floor]
        return Hits(
            ids=[found.ids[place] for place in kept],
            scores=[found.scores[place] for place in kept],
        )
