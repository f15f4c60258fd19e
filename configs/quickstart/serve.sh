#!/usr/bin/env bash
# Serves the quick start on port $1 (5000 otherwise) and says what to try. `make run` builds first.
set -euo pipefail

port=${1:-5000}
cd "$(dirname "$0")/../.."
binary=${CARGO_TARGET_DIR:-target}/release/routir-rt
if [ ! -x "$binary" ]; then
  echo "serve.sh: there is no $binary; run: cargo build --release --package routir-rt" >&2
  exit 1
fi

# Dense vectors of the passages, if there is what makes and searches them.
model=.cache/models/minilm
index=.cache/quickstart/minilm
dense() {
  [ -e "$model/tokenizer.json" ] && compgen -G '.cache/native/faiss/*.so' >/dev/null || return
  [ ! -e "$index/index.faiss" ] || return 0
  mkdir -p "$(dirname "$index")"
  "$binary" encode configs/quickstart/passages.jsonl --fields title,text --model "$model" --output "$index-vectors" &&
    "$binary" index faiss "$index-vectors" --output "$index"
}
if dense; then
  config=configs/quickstart/hybrid.json
  fused="BM25 and a dense retriever fused"
else
  config=configs/quickstart/config.json
  fused="three rankings fused"
  echo "serve.sh: without MiniLM, ONNX Runtime or FAISS: BM25 alone, and two rankings made before"
fi

cat <<EOF
The quick start serves 277 passages on http://localhost:$port. What to try, in another terminal:

  # ask like a person: words, then $fused, then two stages
  $binary query http://localhost:$port "java coffee" --pipeline bm25 --limit 3
  $binary query http://localhost:$port "how did sailors find their longitude at sea" --pipeline hybrid%5
  $binary query http://localhost:$port "slow but accurate reranking of search results" --pipeline "bm25%20 >> overlap%5"

  # ask like a program
  curl -s http://localhost:$port/search -d '{"service": "bm25", "query": "java coffee", "limit": 3}'
  curl -s http://localhost:$port/explain -d '{"pipeline": "hybrid >> overlap%10", "collection": "quickstart"}'

  # run all thirty topics, and measure
  $binary run --server http://localhost:$port --topics configs/quickstart/topics.tsv --pipeline bm25%100 --output /tmp/bm25.run
  $binary eval /tmp/bm25.run configs/quickstart/qrels.txt --measures nDCG@10,MAP,MRR

EOF
exec "$binary" "$config" --port "$port" --cache_dir .cache
