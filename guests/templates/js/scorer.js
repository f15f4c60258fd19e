// A scorer: one score per text. This one counts which share of the query's words a text has.

export const manifest = {
  describe: () => ({
    name: "my-extension",
    version: "0.1.0",
    description: "the share of the query's words that a text has",
    params: [],
  }),
};

export function score(query, texts, params) {
  const wanted = [...words(query)];
  return texts.map((text) => {
    const found = words(text);
    return wanted.filter((word) => found.has(word)).length / Math.max(wanted.length, 1);
  });
}

const words = (text) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []);
