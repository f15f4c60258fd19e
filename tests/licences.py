"""Checks the licence of every locked dependency against the list in deny.toml, offline.

An SPDX expression passes when the allowed licences satisfy it: all parts of an AND, one of an OR.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def satisfied(expression: str, allowed: set[str]) -> bool:
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def either() -> bool:
        nonlocal position
        value = both()
        while position < len(tokens) and tokens[position] == "OR":
            position += 1
            value = both() or value
        return value

    def both() -> bool:
        nonlocal position
        value = one()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            value = one() and value
        return value

    def one() -> bool:
        nonlocal position
        token = tokens[position]
        position += 1
        if token == "(":
            value = either()
            position += 1
            return value
        if position < len(tokens) and tokens[position] == "WITH":
            token = f"{token} WITH {tokens[position + 1]}"
            position += 2
        return token in allowed

    return either()


def main() -> int:
    licences = tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]
    allowed = set(licences["allow"])
    excepted = {it["crate"]: set(it["allow"]) for it in licences.get("exceptions", [])}
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    refused = [
        f"  {package['name']} {package['version']}: {package['license']}"
        for package in metadata["packages"]
        if not (package["license"] and satisfied(package["license"], allowed | excepted.get(package["name"], set())))
    ]
    if refused:
        print("licences: not on the list in deny.toml:", *refused, sep="\n", file=sys.stderr)
        return 1
    print(f"licences: {len(metadata['packages'])} packages checked, all allowed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
