// A fusion: answers one score per document. This one is reciprocal rank fusion.

export const manifest = {
  describe: () => ({
    name: "my-extension",
    version: "0.1.0",
    description: "reciprocal rank fusion",
    params: [
      { name: "k", kind: "number", default: "60", description: "added to every rank, at least 0" },
    ],
  }),
};

export function fuse(query, lists, docCount, params) {
  const k = params.find(([name]) => name === "k")?.[1].val ?? 60;
  if (k < 0) throw { tag: "invalid", val: `\`k\` must be at least 0, not ${k}` };
  const scores = new Float64Array(docCount);
  for (const { docs } of lists) {
    for (let rank = 1; rank <= docs.length; rank++) scores[docs[rank - 1]] += 1 / (k + rank);
  }
  return scores;
}
