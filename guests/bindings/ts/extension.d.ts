// The WIT as TypeScript sees it. What each thing means, with units and limits, is said there.

declare module "routir:extension/types@0.1.0" {
  /** A parameter's value: `tag` says its type. */
  export type Value =
    | { tag: "flag"; val: boolean }
    | { tag: "number"; val: number }
    | { tag: "text"; val: string }
    | { tag: "numbers"; val: ArrayLike<number> }
    | { tag: "json"; val: string };

  /** Parameters by name, in alphabetical order. */
  export type Params = [name: string, value: Value][];

  /** Ranked documents; both columns have one length. */
  export interface Hits {
    ids: string[];
    scores: ArrayLike<number>;
  }

  /** What a function throws when it has no answer. Anything else that is thrown is a crash. */
  export interface ExtensionError {
    tag: "invalid" | "unknown" | "exhausted" | "failed";
    val: string;
  }

  /** One answer of several, each of which may be an error. */
  export type Result<T> = { tag: "ok"; val: T } | { tag: "err"; val: ExtensionError };
}

declare module "routir:extension/manifest@0.1.0" {
  export type ParamKind = "flag" | "number" | "count" | "text" | "numbers" | "json";

  export interface Param {
    name: string;
    kind: ParamKind;
    /** As JSON text; `undefined`: none. */
    default: string | undefined;
    description: string;
  }

  export interface Info {
    name: string;
    version: string;
    description: string;
    /** `undefined`: anything goes. */
    params: Param[] | undefined;
  }

  /** What every extension exports under the name `manifest`. */
  export interface Manifest {
    describe(): Info;
  }
}

declare module "routir:extension/log@0.1.0" {
  export type Level = "debug" | "info" | "warn" | "error";
  export function log(level: Level, message: string): void;
}

declare module "routir:extension/candidates@0.1.0" {
  export function ids(handles: ArrayLike<number>): string[];
  /** Throws an `ExtensionError` as its `payload`. */
  export function texts(handles: ArrayLike<number>, maxBytes: number): (string | undefined)[];
}

declare module "routir:extension/host@0.1.0" {
  import type { Hits, Params, Result } from "routir:extension/types@0.1.0";

  export interface SearchRequest {
    pipeline: string;
    query: string;
    collection: string | undefined;
    limit: number;
    params: Params;
  }

  export interface Documents {
    collection: string;
    view: string | undefined;
    ids: string[];
  }

  export type Passages = { tag: "texts"; val: string[] } | { tag: "documents"; val: Documents };

  export interface ScoreRequest {
    service: string;
    query: string;
    passages: Passages;
    params: Params;
  }

  export function search(requests: SearchRequest[]): Result<Hits>[];
  export function score(requests: ScoreRequest[]): Result<ArrayLike<number>>[];
  /** Throws an `ExtensionError` as its `payload`. */
  export function content(documents: Documents, maxBytes: number): (string | undefined)[];
}

/** What a world exports beside `manifest`. These are types alone: there is nothing to call. */
declare module "routir:extension/worlds@0.1.0" {
  import type { Hits, Params } from "routir:extension/types@0.1.0";

  /** One of the rankings to fuse: handles, best first, and their scores. */
  export interface RankedList {
    source: string;
    query: string;
    docs: ArrayLike<number>;
    scores: ArrayLike<number>;
  }

  /** `fusion`: one score per handle. */
  export type Fuse = (
    query: string,
    lists: RankedList[],
    docCount: number,
    params: Params,
  ) => number[] | Float64Array;

  /** `decomposer`: sub-queries. */
  export type Decompose = (query: string, limit: number | undefined, params: Params) => string[];

  /** `searcher`: the best documents. */
  export type Search = (query: string, limit: number, params: Params) => Hits;

  /** `scorer`: one score per text. */
  export type Score = (query: string, texts: string[], params: Params) => number[] | Float64Array;
}
