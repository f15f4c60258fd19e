#!/usr/bin/env python3
"""Make the two demonstration runs of this collection: runs/title-overlap.run and runs/char-trigram.run.

Usage: python3 make_runs.py [--check]

Both rankings are simple on purpose. They need no model and no package, are
deterministic, and fail in different ways, so that fusing them shows an effect.

title-overlap  How well the words of a query are found in the title of a passage, stop words left
               out. A word counts as the square of its likeness to the most similar title word,
               which is 1 if the word itself is there, and as nothing below LIKE_ENOUGH; so
               reranking finds rerankers. The sum is divided by the root of the number of words
               in the title.
char-trigram   Cosine of TF-IDF vectors over the letter trigrams of title and text, so that words of
               one family (honeybee, bees) match in part without a stemmer.

A run holds at most DEPTH passages per topic, never one whose score is zero; equal scores are
ordered by id. With --check nothing is written, and the exit status says whether the files in runs/
are up to date.
"""

import json
import math
import re
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEPTH = 50
DIGITS = 6
LIKE_ENOUGH = 0.5
STOP_WORDS = frozenset(
    "a an and are as at be but by can do does did for from how if in into is it its no not of on or "
    "someone than that the their them then there these they this to was what when where which who "
    "why will with without you".split()
)


def words(text):
    """The words of a text in lower case, punctuation dropped."""
    return re.findall(r"[^\W_]+", text.lower())


def title_words(text):
    return sorted({word for word in words(text) if word not in STOP_WORDS})


def likeness(left, right):
    """Dice coefficient of the letter pairs of two words: 1 if equal, 0 if they share none."""
    pairs = [Counter(word[i : i + 2] for i in range(len(word) - 1)) for word in (left, right)]
    total = sum(pairs[0].values()) + sum(pairs[1].values())
    return 2 * sum((pairs[0] & pairs[1]).values()) / total if total else float(left == right)


def title_overlap(passages, query):
    """Score every passage by how well its title covers the words of the query."""
    wanted = title_words(query)
    scores = {}
    for passage in passages:
        title = title_words(passage["title"])
        if title:
            best = (max(likeness(word, other) for other in title) for word in wanted)
            found = math.fsum(value**2 for value in best if value >= LIKE_ENOUGH)
            scores[passage["id"]] = found / math.sqrt(len(title))
    return scores


def trigrams(text):
    """How often each letter trigram occurs; a word is padded so that its ends count too."""
    counts = Counter()
    for word in words(text):
        padded = f" {word} "
        counts.update(padded[i : i + 3] for i in range(len(padded) - 2))
    return counts


class TrigramIndex:
    """TF-IDF vectors of unit length over letter trigrams."""

    def __init__(self, passages):
        counts = {p["id"]: trigrams(f"{p['title']} {p['text']}") for p in passages}
        frequency = Counter(gram for grams in counts.values() for gram in grams)
        self.idf = {gram: math.log(len(counts) / n) for gram, n in frequency.items()}
        self.vectors = {doc: self.vector(grams) for doc, grams in counts.items()}

    def vector(self, grams):
        weights = {
            gram: (1 + math.log(n)) * self.idf[gram] for gram, n in grams.items() if gram in self.idf
        }
        norm = math.sqrt(math.fsum(w * w for w in weights.values()))
        return {gram: w / norm for gram, w in weights.items()} if norm else {}

    def scores(self, query):
        wanted = self.vector(trigrams(query))
        return {
            doc: math.fsum(w * vector.get(gram, 0.0) for gram, w in wanted.items())
            for doc, vector in self.vectors.items()
        }


def run_text(name, topics, score):
    """One run in the six columns of TREC: topic, Q0, passage, rank, score, name."""
    lines = []
    for topic, query in topics:
        # Rounding before sorting keeps the order in step with the printed scores.
        scored = ((round(value, DIGITS), doc) for doc, value in score(query).items())
        best = sorted((-value, doc) for value, doc in scored if value > 0)[:DEPTH]
        for rank, (negated, doc) in enumerate(best, start=1):
            lines.append(f"{topic} Q0 {doc} {rank} {-negated:.{DIGITS}f} {name}\n")
    return "".join(lines)


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    with open(HERE / "passages.jsonl", encoding="utf-8") as lines:
        passages = [json.loads(line) for line in lines]
    with open(HERE / "topics.tsv", encoding="utf-8") as lines:
        topics = [line.rstrip("\n").split("\t") for line in lines]
    index = TrigramIndex(passages)
    runs = {
        "title-overlap": run_text("title-overlap", topics, lambda q: title_overlap(passages, q)),
        "char-trigram": run_text("char-trigram", topics, index.scores),
    }
    stale = []
    for name, text in runs.items():
        path = HERE / "runs" / f"{name}.run"
        if not path.exists() or path.read_bytes() != text.encode():
            stale.append(path.name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(text.encode())
    if check and stale:
        sys.exit(f"out of date, run make_runs.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
