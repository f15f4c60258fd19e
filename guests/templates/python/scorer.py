"""A scorer: one score per text. This one counts which share of the query's words a text has."""

import re

import wit_world
from wit_world import exports
from wit_world.exports.manifest import Info


class Manifest(exports.Manifest):
    def describe(self):
        return Info(
            name="my-extension",
            version="0.1.0",
            description="the share of the query's words that a text has",
            params=[],
        )


class WitWorld(wit_world.WitWorld):
    def score(self, query, texts, params):
        wanted = words(query)
        return [len(wanted & words(text)) / max(len(wanted), 1) for text in texts]


def words(text):
    return set(re.findall(r"\w+", text.lower()))
