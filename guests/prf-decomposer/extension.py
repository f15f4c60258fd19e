"""Pseudo-relevance feedback: searches first, and adds the terms that mark what it found.

The expanded query is weighted as in RM3 (Abdul-Jaleel et al., TREC 2004): the relevance model of
the first documents, each weighing as much as its share of the scores, interpolated with the query.
A sub-query has no weights, so the model picks the terms and the query keeps its own words.
"""

import math
import re
from collections import Counter

import wit_world
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Info, Param, ParamKind
from wit_world.imports import host
from wit_world.imports.types import Error_Invalid

WORD = re.compile(r"\w[\w'-]+")
STOP = frozenset(
    "a about after all also an and any are as at be been but by can could did do does for from had "
    "has have he her his how i if in into is it its may more most no not of on one only or other "
    "our out over she so some such than that the their them then there these they this to up was "
    "we were what when where which who will with would you your".split()
)


def param(name, kind, default, description):
    return Param(name, kind, default, description)


class Manifest(exports.Manifest):
    def describe(self):
        return Info(
            name="prf-decomposer",
            version="0.1.0",
            description="the query, and the query expanded with terms of the documents it finds",
            params=[
                param("service", ParamKind.TEXT, None, "what searches first: a service or pipeline"),
                param("collection", ParamKind.TEXT, None, "where the found documents are read"),
                param("documents", ParamKind.COUNT, "10", "how many of the first documents are read"),
                param("terms", ParamKind.COUNT, "10", "how many terms are added at most"),
                param("query_weight", ParamKind.NUMBER, "0.5", "of the query in the model, 0 to 1"),
                param("max_bytes", ParamKind.COUNT, "4096", "how much of each document is read"),
            ],
        )


class WitWorld(wit_world.WitWorld):
    def decompose(self, query, limit, params):
        given = {name: value.value for name, value in params}
        for name in ("service", "collection"):
            if not given.get(name):
                raise Err(Error_Invalid(f"`{name}` is needed; give it in the service's `params`"))
        query_weight = given.get("query_weight", 0.5)
        if not 0 <= query_weight <= 1:
            raise Err(Error_Invalid(f"`query_weight` must lie between 0 and 1, not {query_weight:g}"))
        if limit is not None and limit < 2:
            return [query][:limit]

        hits = first_documents(query, given["service"], int(given.get("documents", 10)))
        if not hits.ids:
            return [query]
        documents = host.Documents(collection=given["collection"], view=None, ids=hits.ids)
        texts = host.content(documents, int(given.get("max_bytes", 4096)))
        model = relevance_model(texts, hits.scores)
        added = expansion(words_of(query), model, query_weight, int(given.get("terms", 10)))
        return [query, " ".join([query, *added])] if added else [query]


def first_documents(query, service, count):
    request = host.SearchRequest(
        pipeline=service, query=query, collection=None, limit=count, params=[]
    )
    [answer] = host.search([request])
    if isinstance(answer, Err):
        # As it is: a service that is unknown to the host is unknown to the caller too.
        raise answer
    return answer.value


def words_of(text):
    return [word for word in WORD.findall(text.lower()) if word not in STOP]


def relevance_model(texts, scores):
    """P(term | relevance): of each document's words, weighed by the document's share."""
    best = max(scores)
    shares = [math.exp(score - best) for score in scores]
    total = sum(shares)
    model = Counter()
    for text, share in zip(texts, shares):
        words = words_of(text or "")
        for word, count in Counter(words).items():
            model[word] += share / total * count / len(words)
    return model


def expansion(query_words, model, query_weight, count):
    """The best terms of the interpolated model that the query does not have, best first."""
    if not query_words:
        query_weight = 0.0
    mixed = Counter({word: (1 - query_weight) * weight for word, weight in model.items()})
    for word in query_words:
        mixed[word] += query_weight / len(query_words)
    ranked = sorted(mixed.items(), key=lambda item: (-item[1], item[0]))
    kept = [word for word, weight in ranked[: count + len(set(query_words))] if weight > 0]
    return [word for word in kept if word not in query_words][:count]
