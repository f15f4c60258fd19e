"""Makes the files of this folder: a small random run with ties and gaps, graded judgements, and
the values that trec_eval's code gives for them.

Needs `pip install pytrec_eval-terrier==0.5.11`, which wraps trec_eval's own C code. It compares
scores in single precision; all scores here are exact in it, so that precision plays no part.
`recip_rank_cut_k` is not in trec_eval: recip_rank of the run cut to its first k documents.

    python3 make.py   # writes qrels.txt, run.txt and expected.tsv beside itself
"""

import random
from importlib.metadata import version
from pathlib import Path

import pytrec_eval

HERE = Path(__file__).parent
CUTS = (1, 5, 10, 20, 100)
CUT_MEASURES = ("P", "recall", "ndcg_cut", "success", "map_cut")
WHOLE_MEASURES = ("map", "Rprec", "bpref", "recip_rank", "ndcg", "num_ret", "num_rel", "num_rel_ret")
LEVELS = (1, 2)

random.seed(20_26)
qrels, run = {}, {}
for topic in range(1, 31):
    name = f"t{topic}"
    docs = [f"doc-{n}" for n in random.sample(range(1000), 80)]
    grades = [-1, 0, 0, 0, 0, 1, 1, 2, 3] if topic % 5 else [-1, 0, 0]
    qrels[name] = {doc: random.choice(grades) for doc in random.sample(docs, random.randint(5, 60))}
    if topic % 7 == 0:
        continue  # Judged, but not in the run.
    returned = random.sample(docs, random.randint(1, 60))
    # A coarse grid makes many ties; sixteenths are exact in single precision.
    run[name] = {doc: random.randint(-20, 40) / 16 for doc in returned}
run["unjudged"] = {"doc-1": 1.0}


def cut(ranking, k):
    best = sorted(ranking.items(), key=lambda hit: (hit[1], hit[0]), reverse=True)
    return dict(best[:k])


rows = []
for level in LEVELS:
    measures = set(WHOLE_MEASURES) | {f"{name}.{','.join(map(str, CUTS))}" for name in CUT_MEASURES}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, measures, relevance_level=level)
    first = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}, relevance_level=level)
    values = evaluator.evaluate(run)
    for k in CUTS:
        cut_run = {topic: cut(ranking, k) for topic, ranking in run.items()}
        for topic, found in first.evaluate(cut_run).items():
            values[topic][f"recip_rank_cut_{k}"] = found["recip_rank"]
    for topic, found in values.items():
        rows += [(level, topic, name, value) for name, value in sorted(found.items())]

with open(HERE / "qrels.txt", "w") as file:
    for topic, grades in qrels.items():
        file.writelines(f"{topic} 0 {doc} {grade}\n" for doc, grade in grades.items())
with open(HERE / "run.txt", "w") as file:
    for topic, ranking in run.items():
        for rank, (doc, score) in enumerate(ranking.items(), 1):
            file.write(f"{topic} Q0 {doc} {rank} {score} random\n")
with open(HERE / "expected.tsv", "w") as file:
    file.write(f"# pytrec_eval-terrier {version('pytrec_eval-terrier')}\n")
    file.write("# relevance level, topic, measure, value\n")
    file.writelines(f"{level}\t{topic}\t{name}\t{value!r}\n" for level, topic, name, value in rows)
