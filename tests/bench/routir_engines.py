"""Engines for RoutIR that do the work of `TrecRun` and `TokenOverlap`, as well as Python can.

Loaded by RoutIR through `file_imports`, so that both servers run one config over the same data.
"""

import re
from collections import Counter

from routir.models import Engine

from data import STOP_WORDS, read_run, read_topics

_WORD = re.compile(r"[^\W_]+")


def _normalise(query):
    return " ".join(query.lower().split())


def _terms(text):
    return [word for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]


class TrecRun(Engine):
    """Replays a run: everything is parsed and sorted at start, a search is a look-up and a copy."""

    def __init__(self, name=None, config=None, **kwargs):
        super().__init__(name, config, **kwargs)
        topics = read_topics(self.config["topics"])
        rankings = read_run(self.config["run"])
        self._rankings = {_normalise(text): rankings[topic] for topic, text in topics.items()}

    async def search_batch(self, queries, limit=20, **kwargs):
        limits = limit if isinstance(limit, list) else [limit] * len(queries)
        return [
            dict(self._rankings[_normalise(query)][:most])
            for query, most in zip(queries, limits)
        ]


class TokenOverlap(Engine):
    """Scores a passage by tf / (tf + 1), averaged over the query's different terms.

    The generated words are their own stems, so there is no stemming to do here.
    """

    async def score_batch(self, queries, passages, candidate_length=None, **kwargs):
        lengths = candidate_length or [len(passages)]
        scores, start = [], 0
        for query, length in zip(queries, lengths):
            terms = sorted(set(_terms(query)))
            scores.append([_score(terms, text) for text in passages[start : start + length]])
            start += length
        return scores


def _score(terms, passage):
    counts = Counter(_terms(passage))
    return sum(counts[term] / (counts[term] + 1) for term in terms) / max(len(terms), 1)
