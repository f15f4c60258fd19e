"""The data of the comparison, from a seeded generator: documents, topics, two runs, requests."""

import json
import random

DOCUMENTS = 5_000
TOPICS = 200
HITS = 1_000

# What the generator strews in; every one of them is a stop word of the native analyzer too.
STOP_WORDS = frozenset("the of and in to is for with that by".split())

#: name -> (path, request without the query)
CALLS = {
    "search, 100 hits": ("/search", {"service": "a", "limit": 100}),
    "`{a,b}RRF%50`": ("/pipeline", {"pipeline": "{a,b}RRF%50"}),
    "`{a%100,b%100}RRF%50`": ("/pipeline", {"pipeline": "{a%100,b%100}RRF%50"}),
    "rerank: `a%50 >> overlap%10`": (
        "/pipeline",
        {"pipeline": "a%50 >> overlap%10", "collection": "docs"},
    ),
}


def generate(folder):
    """Writes everything into `folder` and returns the topics."""
    rng = random.Random(20_000)
    words = _vocabulary(rng, 3_000)
    weights = [1 / (rank + 10) for rank in range(len(words))]
    stop_words = sorted(STOP_WORDS)
    documents = {}
    for number in range(DOCUMENTS):
        text = rng.choices(words, weights, k=rng.randint(40, 80))
        for _ in range(len(text) // 3):
            text.insert(rng.randrange(len(text)), rng.choice(stop_words))
        documents[f"corpus-{number:07}"] = text
    with open(folder / "documents.jsonl", "w") as out:
        for doc, text in documents.items():
            out.write(json.dumps({"id": doc, "text": " ".join(text)}) + "\n")

    topics = {}
    ids = sorted(documents)
    for number in range(1, TOPICS + 1):
        source = [word for word in documents[rng.choice(ids)] if word not in STOP_WORDS]
        topics[str(number)] = " ".join(rng.sample(source, 5))
    with open(folder / "topics.tsv", "w") as out:
        out.writelines(f"{topic}\t{text}\n" for topic, text in topics.items())

    for name in "ab":
        with open(folder / f"{name}.run", "w") as out:
            for topic in topics:
                scores = sorted(rng.sample(range(1_000_000, 30_000_000), HITS), reverse=True)
                for rank, doc in enumerate(rng.sample(ids, HITS), 1):
                    score = scores[rank - 1] / 1_000_000
                    out.write(f"{topic} Q0 {doc} {rank} {score:.6f} {name}\n")

    for name, (_, request) in CALLS.items():
        with open(bodies(folder, name), "w") as out:
            for text in topics.values():
                out.write(json.dumps({**request, "query": text}) + "\n")
    return topics


def bodies(folder, call):
    """The file with the requests of `call`, one for each topic."""
    return folder / f"requests-{list(CALLS).index(call)}.jsonl"


def read_topics(path):
    """Topic -> text, from lines of both with a tab between."""
    with open(path) as lines:
        return dict(line.rstrip("\n").split("\t", 1) for line in lines)


def read_run(path):
    """Topic -> [(document, score)], best first."""
    rankings = {}
    with open(path) as lines:
        for line in lines:
            topic, _, doc, _, score, _ = line.split()
            rankings.setdefault(topic, []).append((doc, float(score)))
    for hits in rankings.values():
        hits.sort(key=lambda hit: (-hit[1], hit[0]))
    return rankings


def _vocabulary(rng, size):
    """Words that a stemmer leaves alone: English suffixes never end in these letters."""
    words = set()
    while len(words) < size:
        syllables = rng.randint(1, 2)
        start = "".join(rng.choice("bdfghklmnprtvz") + rng.choice("aiou") for _ in range(syllables))
        words.add(start + rng.choice("bkpf"))
    return sorted(words)
