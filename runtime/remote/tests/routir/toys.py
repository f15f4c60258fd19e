"""The toy services of tests/oracle as engines of RoutIR: the same arithmetic, in Python.

Loaded by RoutIR through `file_imports`.
"""

from routir.models import Engine

DOCS = [f"d{digit:x}" for digit in range(12)]


def mix(*parts):
    state = 0xCBF29CE484222325
    for part in parts:
        for byte in part.encode() + b"\xff":
            state = ((state ^ byte) * 0x100000001B3) % 2**64
    return float((state >> 32) % 8)


class ToySearch(Engine):
    async def search_batch(self, queries, limit=20, **kwargs):
        limits = limit if isinstance(limit, list) else [limit] * len(queries)
        return [self._best(query, most) for query, most in zip(queries, limits)]

    def _best(self, query, most):
        found = [doc for doc in DOCS if mix(self.name, query, doc, "found") > 1]
        scores = {doc: mix(self.name, query, doc) for doc in found}
        return dict(sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:most])


class ToyScore(Engine):
    async def score_batch(self, queries, passages, candidate_length=None, **kwargs):
        lengths = candidate_length or [len(passages)]
        scores, start = [], 0
        for query, length in zip(queries, lengths):
            scores.append([mix(self.name, query, text) for text in passages[start : start + length]])
            start += length
        return scores
