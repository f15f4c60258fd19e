// A searcher: finds documents for a query. This one asks a service of the server, and keeps what
// scores well.

import { search as searchHost } from "routir:extension/host@0.1.0";

export const manifest = {
  describe: () => ({
    name: "my-extension",
    version: "0.1.0",
    description: "what a service finds above a share of its best score",
    params: [
      { name: "service", kind: "text", default: undefined, description: "who searches; needed" },
      { name: "share", kind: "number", default: "0.5", description: "of the best score, 0 to 1" },
    ],
  }),
};

export function search(query, limit, params) {
  const value = (name) => params.find(([found]) => found === name)?.[1].val;
  const pipeline = value("service");
  if (!pipeline) throw { tag: "invalid", val: "`service` is needed" };
  // Several requests in one call run at the same time.
  const [answer] = searchHost([{ pipeline, query, collection: undefined, limit, params: [] }]);
  if (answer.tag === "err") throw answer.val;
  const { ids, scores } = answer.val;
  const floor = (scores[0] ?? 0) * (value("share") ?? 0.5);
  const kept = ids.filter((_, place) => scores[place] >= floor);
  return { ids: kept, scores: scores.slice(0, kept.length) };
}
