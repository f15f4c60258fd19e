// Splits a query into its questions and conjunctions by rules, without a model.

/// <reference path="../bindings/ts/extension.d.ts" />
import type { Manifest } from "routir:extension/manifest@0.1.0";
import type { ExtensionError, Params } from "routir:extension/types@0.1.0";
import type { Decompose } from "routir:extension/worlds@0.1.0";

export const manifest: Manifest = {
  describe: () => ({
    name: "rules-decomposer",
    version: "0.1.0",
    description: "splits questions and conjunctions by rules, and keeps the original query",
    params: [
      {
        name: "keep_original",
        kind: "flag",
        default: "true",
        description: "whether the query itself comes first",
      },
      {
        name: "conjunctions",
        kind: "text",
        default: '"and,or,as well as,versus,vs"',
        description: "words that part a query, with commas between them",
      },
      {
        name: "min_words",
        kind: "count",
        default: "2",
        description: "parts of fewer words stay with the part before them",
      },
    ],
  }),
};

export const decompose: Decompose = (query, limit, params) => {
  const conjunctions = text(params, "conjunctions")
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  const original = query.trim();
  if (original === "") throw invalid("the query is empty; there is nothing to split");
  const parts = sentences(original).flatMap((sentence) =>
    clauses(sentence, conjunctions, number(params, "min_words")),
  );
  const all = flag(params, "keep_original") ? [original, ...parts] : parts;
  return distinct(all).slice(0, limit ?? all.length);
};

/** Questions and sentences, without what ends them. */
function sentences(query: string): string[] {
  return query
    .split(/[?;!]+|\.(?=\s|$)/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** Clauses on either side of commas and conjunctions. */
function clauses(sentence: string, conjunctions: string[], minWords: number): string[] {
  // Longest first, so that "as well as" is not parted at "as".
  const words = [...conjunctions].sort((a, b) => b.length - a.length).map(escaped);
  const border = words.length === 0 ? /\s*,\s+/ : borders(words);
  const parts: string[] = [];
  for (const part of sentence.split(border)) {
    const clause = part.trim();
    if (clause === "") continue;
    const short = clause.split(/\s+/).length < minWords;
    if (short && parts.length > 0) parts[parts.length - 1] += ` ${clause}`;
    else parts.push(clause);
  }
  return parts;
}

const borders = (words: string[]) => new RegExp(`\\s*,\\s+|\\s+(?:${words.join("|")})\\s+`, "i");

const escaped = (word: string) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Each once, where it stands first, whatever its letter case. */
function distinct(parts: string[]): string[] {
  const seen = new Set<string>();
  return parts.filter((part) => {
    const key = part.toLowerCase();
    return !seen.has(key) && seen.add(key);
  });
}

function find(params: Params, name: string) {
  return params.find(([found]) => found === name)?.[1];
}

function flag(params: Params, name: string): boolean {
  const value = find(params, name);
  return value?.tag === "flag" ? value.val : false;
}

function text(params: Params, name: string): string {
  const value = find(params, name);
  return value?.tag === "text" ? value.val : "";
}

function number(params: Params, name: string): number {
  const value = find(params, name);
  return value?.tag === "number" ? value.val : 0;
}

const invalid = (val: string): ExtensionError => ({ tag: "invalid", val });
