// A fusion: answers one score per document. This one is reciprocal rank fusion.

import type { Manifest } from "routir:extension/manifest@0.1.0";
import type { ExtensionError } from "routir:extension/types@0.1.0";
import type { Fuse } from "routir:extension/worlds@0.1.0";

export const manifest: Manifest = {
  describe: () => ({
    name: "my-extension",
    version: "0.1.0",
    description: "reciprocal rank fusion",
    params: [
      { name: "k", kind: "number", default: "60", description: "added to every rank, at least 0" },
    ],
  }),
};

export const fuse: Fuse = (_query, lists, docCount, params) => {
  const value = params.find(([name]) => name === "k")?.[1];
  const k = value?.tag === "number" ? value.val : 60;
  if (k < 0) throw invalid(`\`k\` must be at least 0, not ${k}`);
  const scores = new Float64Array(docCount);
  for (const { docs } of lists) {
    for (let rank = 1; rank <= docs.length; rank++) scores[docs[rank - 1]] += 1 / (k + rank);
  }
  return scores;
};

const invalid = (val: string): ExtensionError => ({ tag: "invalid", val });
