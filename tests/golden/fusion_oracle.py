"""The expected values of fusion.json, worked out apart from the code that it tests.

Plain definitions in exact fractions (square roots to 60 digits), one function per method. Reads
the inputs of fusion.json, and writes `expected` (or `error`) of every case:

    python3 fusion_oracle.py           # rewrites fusion.json
    python3 fusion_oracle.py --check   # fails when it would change

A case: `name`, `method`, `params`, `rankings` (each a list of [document, score], best first, equal
scores by document), `branches` (present when an expander ran: how many branches the rankings come
from, branch after branch), `limit` (absent: all), and either `expected` ([document, score], best
first, equal scores by document) or `error` (the error code's name).

Values are rounded once, at the end. So that other implementations may add in plain doubles, no
case has fused scores that differ by less than a billionth unless they are equal in plain doubles
as well; the script makes sure of it.
"""

import json
import sys
from decimal import Decimal, getcontext
from fractions import Fraction
from math import isfinite
from pathlib import Path

FILE = Path(__file__).with_name("fusion.json")
getcontext().prec = 60


class Invalid(Exception):
    """Parameters that make no sense."""


class Overflow(Exception):
    """A fused score beyond what a double holds."""


def root(square):
    square = Decimal(square.numerator) / Decimal(square.denominator)
    return Fraction(square.sqrt())


def number(value, least):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < least:
        raise Invalid
    return Fraction(value)


def weights_of(case):
    lists, weights = len(case["rankings"]), case["params"].get("weights")
    if weights is None:
        return [Fraction(1)] * lists
    if not isinstance(weights, list):
        raise Invalid
    weights = [number(weight, 0) for weight in weights]
    if "branches" in case:
        if not weights or lists % len(weights):
            raise Invalid
        weights = [weight for weight in weights for _ in range(lists // len(weights))]
    if len(weights) != lists or not any(weights):
        raise Invalid
    return weights


def total(case, points):
    """Sum over lists of weight * points(list, documents in all lists) per document: exactly, and
    as an implementation gets it that adds doubles list by list."""
    documents = {doc for ranking in case["rankings"] for doc, _ in ranking}
    sums = dict.fromkeys(documents, (Fraction(0), 0.0))
    for weight, ranking in zip(weights_of(case), case["rankings"]):
        for doc, value in points(ranking, documents).items():
            exact, plain = sums[doc]
            sums[doc] = (exact + weight * value, plain + float(weight * value))
    return sums


def rrf(case, default_k):
    k = number(case["params"].get("rrf_k", default_k), 0)
    return total(case, lambda ranking, _: {doc: 1 / (k + rank) for rank, (doc, _) in enumerate(ranking, 1)})


def score_sum(case, normalise):
    def points(ranking, _):
        scores = [Fraction(score) for _, score in ranking]
        return dict(zip((doc for doc, _ in ranking), normalise(scores)))

    return total(case, points)


def as_they_are(scores):
    return scores


def min_max(scores):
    low, high = min(scores, default=0), max(scores, default=0)
    return [(score - low) / (high - low) if high > low else Fraction(1) for score in scores]


def z_score(scores):
    if len(set(scores)) < 2:
        return [Fraction(0)] * len(scores)
    mean = sum(scores) / len(scores)
    deviation = root(sum((score - mean) ** 2 for score in scores) / len(scores))
    return [(score - mean) / deviation for score in scores]


def distribution(scores):
    if len(set(scores)) < 2:
        return [Fraction(1, 2)] * len(scores)
    mean = sum(scores) / len(scores)
    deviation = root(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1))
    return [(score - (mean - 3 * deviation)) / (6 * deviation) for score in scores]


def comb_mnz(case):
    sums, weights = score_sum(case, min_max), weights_of(case)
    for doc in sums:
        holding = [
            weight > 0 and any(doc == other for other, _ in ranking)
            for weight, ranking in zip(weights, case["rankings"])
        ]
        exact, plain = sums[doc]
        sums[doc] = (exact * sum(holding), plain * sum(holding))
    return sums


def borda(case):
    def points(ranking, documents):
        places = {doc: rank for rank, (doc, _) in enumerate(ranking, 1)}
        count, unranked = len(documents), len(documents) - len(places)
        # The points that are left are 1, 2, ..., unranked.
        share = Fraction(sum(range(1, unranked + 1)), unranked) if unranked else Fraction(0)
        return {doc: Fraction(count - places[doc] + 1) if doc in places else share for doc in documents}

    return total(case, points)


METHODS = {
    "RRF": lambda case: rrf({**case, "params": {**case["params"], "weights": None}}, 0),
    "WeightedRRF": lambda case: rrf(case, 60),
    "ScoreFusion": lambda case: score_sum(case, as_they_are),
    "MinMaxFusion": lambda case: score_sum(case, min_max),
    "ZScoreFusion": lambda case: score_sum(case, z_score),
    "DBSF": lambda case: score_sum(case, distribution),
    "CombMNZ": comb_mnz,
    "Borda": borda,
}


def rounded(value):
    try:
        return float(value)
    except OverflowError:
        raise Overflow from None


def solve(case):
    for ranking in case["rankings"]:
        assert ranking == sorted(ranking, key=lambda hit: (-hit[1], hit[0])), case["name"]
        assert len({doc for doc, _ in ranking}) == len(ranking), case["name"]
    try:
        sums = METHODS[case["method"]](case)
        order = sorted(sums, key=lambda doc: (-sums[doc][0], doc))
        fused = [[doc, rounded(sums[doc][0])] for doc in order]
    except Invalid:
        return {"error": "invalid_argument"}
    except Overflow:
        return {"error": "engine_failure"}
    for one, two in zip(order, order[1:]):
        (exact_one, plain_one), (exact_two, plain_two) = sums[one], sums[two]
        gap, size = exact_one - exact_two, max(abs(exact_one), abs(exact_two))
        apart = gap > size / 10**9 if gap else plain_one == plain_two
        assert apart, f"{case['name']}: {one} and {two} are too near"
    return {"expected": fused[: case.get("limit")]}


def text(cases):
    def line(key, value):
        return f'      {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}'

    def ranked(key, lists):
        rows = ",\n".join(f"        {json.dumps(entry, ensure_ascii=False)}" for entry in lists)
        return f'      {json.dumps(key)}: [\n{rows}\n      ]' if lists else f'      {json.dumps(key)}: []'

    blocks = []
    for case in cases:
        fields = [ranked(k, v) if k in ("rankings", "expected") else line(k, v) for k, v in case.items()]
        blocks.append("    {\n" + ",\n".join(fields) + "\n    }")
    return '{\n  "cases": [\n' + ",\n".join(blocks) + "\n  ]\n}\n"


def main():
    before = FILE.read_text(encoding="utf-8")
    cases = json.loads(before)["cases"]
    assert len({case["name"] for case in cases}) == len(cases), "names must differ"
    inputs = [{k: v for k, v in case.items() if k not in ("expected", "error")} for case in cases]
    after = text([{**case, **solve(case)} for case in inputs])
    if "--check" not in sys.argv:
        FILE.write_text(after, encoding="utf-8")
    elif before != after:
        sys.exit(f"{FILE.name} is not what {Path(__file__).name} makes of its inputs")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
