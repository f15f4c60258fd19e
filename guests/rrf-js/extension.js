// Reciprocal rank fusion: the sum over lists of weight / (rrf_k + rank), rank from 1.

export const manifest = {
  describe: () => ({
    name: "rrf-js",
    version: "0.1.0",
    description: "reciprocal rank fusion in JavaScript",
    params: [
      {
        name: "rrf_k",
        kind: "number",
        default: "0",
        description: "added to every rank, at least 0",
      },
      {
        name: "weights",
        kind: "numbers",
        default: undefined,
        description: "one number of at least 0 per branch; 1 for all when absent",
      },
    ],
  }),
};

export function fuse(query, lists, docCount, params) {
  const value = (name) => params.find(([found]) => found === name)?.[1].val;
  const k = value("rrf_k") ?? 0;
  if (k < 0) throw invalid(`\`rrf_k\` must be a number of at least 0, not ${k}`);
  const weights = value("weights") ?? [1];
  if (weights.length === 0 || lists.length % weights.length !== 0) {
    throw invalid(`\`weights\` has ${weights.length} for ${lists.length} lists; give one per branch`);
  }
  if (weights.some((weight) => weight < 0)) throw invalid("`weights` must be at least 0");
  if (weights.every((weight) => weight === 0)) throw invalid("`weights` must have a number above 0");

  // Under an expander a branch has one list per sub-query.
  const listsPerBranch = lists.length / weights.length;
  // Sums that keep what rounding takes from them (Knuth's two-sum), so that the order of the lists
  // does not show in the last digit, as in the native fusion.
  const high = new Float64Array(docCount);
  const low = new Float64Array(docCount);
  lists.forEach(({ docs }, place) => {
    const weight = weights[Math.floor(place / listsPerBranch)];
    for (let rank = 1; rank <= docs.length; rank++) {
      const doc = docs[rank - 1];
      const value = weight / (k + rank);
      const sum = high[doc] + value;
      const part = sum - high[doc];
      low[doc] += high[doc] - (sum - part) + (value - part);
      high[doc] = sum;
    }
  });
  for (let doc = 0; doc < docCount; doc++) high[doc] += low[doc];
  return high;
}

// Only this shape reaches the caller as an error of his; anything else that is thrown is a crash.
const invalid = (message) => ({ tag: "invalid", val: message });
