// A decomposer: turns a query into sub-queries. This one splits it at a word.

export const manifest = {
  describe: () => ({
    name: "my-extension",
    version: "0.1.0",
    description: "splits a query at a word",
    params: [
      { name: "word", kind: "text", default: '"and"', description: "where the query is split" },
    ],
  }),
};

export function decompose(query, limit, params) {
  const word = params.find(([name]) => name === "word")?.[1].val ?? "and";
  if (word.trim() === "") throw { tag: "invalid", val: "`word` must not be empty" };
  const parts = query.split(` ${word.trim()} `).filter((part) => part !== query);
  const queries = [query, ...parts].filter((text) => text.trim() !== "");
  return queries.slice(0, limit ?? queries.length);
}
