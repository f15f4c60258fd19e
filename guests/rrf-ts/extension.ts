// Reciprocal rank fusion: the sum over lists of weight / (rrf_k + rank), rank from 1.

/// <reference path="../bindings/ts/extension.d.ts" />
import type { Manifest } from "routir:extension/manifest@0.1.0";
import type { ExtensionError, Params } from "routir:extension/types@0.1.0";
import type { Fuse } from "routir:extension/worlds@0.1.0";

export const manifest: Manifest = {
  describe: () => ({
    name: "rrf-ts",
    version: "0.1.0",
    description: "reciprocal rank fusion in TypeScript",
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

export const fuse: Fuse = (_query, lists, docCount, params) => {
  const k = numberOf(params, "rrf_k") ?? 0;
  if (k < 0) throw invalid(`\`rrf_k\` must be a number of at least 0, not ${k}`);
  const weights = numbersOf(params, "weights") ?? [1];
  if (weights.length === 0 || lists.length % weights.length !== 0) {
    throw invalid(`\`weights\` has ${weights.length} for ${lists.length} lists; give one per branch`);
  }
  if (weights.some((weight) => weight < 0)) throw invalid("`weights` must be at least 0");
  if (weights.every((weight) => weight === 0)) throw invalid("`weights` must have a number above 0");

  // Under an expander a branch has one list per sub-query.
  const listsPerBranch = lists.length / weights.length;
  const sums = new Sums(docCount);
  lists.forEach(({ docs }, place) => {
    const weight = weights[Math.floor(place / listsPerBranch)];
    for (let rank = 1; rank <= docs.length; rank++) sums.add(docs[rank - 1], weight / (k + rank));
  });
  return sums.rounded();
};

/** Sums that keep what rounding takes from them (Knuth's two-sum), so that the order of the lists
 * does not show in the last digit, as in the native fusion. */
class Sums {
  readonly high: Float64Array;
  readonly low: Float64Array;

  constructor(count: number) {
    this.high = new Float64Array(count);
    this.low = new Float64Array(count);
  }

  add(doc: number, value: number): void {
    const before = this.high[doc];
    const sum = before + value;
    const part = sum - before;
    this.low[doc] += before - (sum - part) + (value - part);
    this.high[doc] = sum;
  }

  rounded(): Float64Array {
    return this.high.map((high, doc) => high + this.low[doc]);
  }
}

function numberOf(params: Params, name: string): number | undefined {
  const value = params.find(([found]) => found === name)?.[1];
  return value?.tag === "number" ? value.val : undefined;
}

function numbersOf(params: Params, name: string): number[] | undefined {
  const value = params.find(([found]) => found === name)?.[1];
  return value?.tag === "numbers" ? Array.from(value.val) : undefined;
}

const invalid = (val: string): ExtensionError => ({ tag: "invalid", val });
