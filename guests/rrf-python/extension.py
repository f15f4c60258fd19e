"""Reciprocal rank fusion: the sum over lists of weight / (rrf_k + rank), rank from 1."""

import wit_world
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.manifest import Info, Param, ParamKind
from wit_world.imports.types import Error_Invalid


class Manifest(exports.Manifest):
    def describe(self):
        return Info(
            name="rrf-python",
            version="0.1.0",
            description="reciprocal rank fusion in Python",
            params=[
                Param("rrf_k", ParamKind.NUMBER, "0", "added to every rank, at least 0"),
                Param(
                    "weights",
                    ParamKind.NUMBERS,
                    None,
                    "one number of at least 0 per branch; 1 for all when absent",
                ),
            ],
        )


class WitWorld(wit_world.WitWorld):
    def fuse(self, query, lists, doc_count, params):
        given = {name: value.value for name, value in params}
        k = given.get("rrf_k", 0.0)
        if k < 0:
            raise invalid(f"`rrf_k` must be a number of at least 0, not {k:g}")
        weights = given.get("weights", [1.0])
        if not weights or len(lists) % len(weights) != 0:
            raise invalid(f"`weights` has {len(weights)} for {len(lists)} lists; give one per branch")
        if min(weights) < 0:
            raise invalid("`weights` must be at least 0")
        if max(weights) == 0:
            raise invalid("`weights` must have a number above 0")

        # Under an expander a branch has one list per sub-query.
        lists_per_branch = len(lists) // len(weights)
        # Sums that keep what rounding takes from them (Knuth's two-sum), so that the order of the
        # lists does not show in the last digit, as in the native fusion.
        high = [0.0] * doc_count
        low = [0.0] * doc_count
        for place, ranked in enumerate(lists):
            weight = weights[place // lists_per_branch]
            for rank, doc in enumerate(ranked.docs, 1):
                value = weight / (k + rank)
                before = high[doc]
                total = before + value
                part = total - before
                low[doc] += (before - (total - part)) + (value - part)
                high[doc] = total
        return [h + l for h, l in zip(high, low)]


def invalid(message):
    """Only an `Err` reaches the caller as an error of his; any other exception is a crash."""
    return Err(Error_Invalid(message))
