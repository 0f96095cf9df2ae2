"""The cases of the Autobahn test suite, driven by kosoku (PyPI).

    autobahn.py server ADDRESS CASES [EXCLUDED]   cases against a server
    autobahn.py client CASES [EXCLUDED]           a server for a client; its address is printed first

CASES and EXCLUDED are lists as "1.*,2.*". Prints a table, and fails when any case is not OK or
INFORMATIONAL.
"""

import asyncio
import os
import sys
from collections import Counter

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver

GOOD = {"OK", "INFORMATIONAL"}


def split(text):
    return [case for case in text.split(",") if case]


async def server(address, cases, excluded=""):
    return await run_fuzzingclient(address, split(cases), split(excluded), concurrency=4)


async def client(cases, excluded=""):
    async with run_fuzzingserver(split(cases), split(excluded), host="127.0.0.1", port=0) as fuzzer:
        print(f"{fuzzer.address}:{fuzzer.port}", flush=True)
        return await fuzzer.get_result()


def report(results):
    """Prints how many cases came out how, by section; what is not good, case by case."""
    sections = {}
    bad = []
    for result in results:
        section = result.case_id.split(".")[0]
        verdict, close = result.behavior.value, result.behavior_close.value
        sections.setdefault(section, Counter())[verdict] += 1
        if verdict not in GOOD or close not in GOOD:
            bad.append((result.case_id, verdict, close, result.result, result.result_close))
    for section, counts in sorted(sections.items(), key=lambda item: int(item[0])):
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        print(f"section {section}: {verdicts}")
    for case in bad:
        print("NOT GOOD:", *case)
    print(f"{len(results)} cases, {len(bad)} not good")
    return bool(results) and not bad


def main():
    mode, *arguments = sys.argv[1:]
    try:
        results = asyncio.run({"server": server, "client": client}[mode](*arguments))
    except FailureError as failure:
        results = failure.results
    code = 0 if report(results) else 1
    sys.stdout.flush()
    os._exit(code)  # kosoku's own threads sometimes do not survive the interpreter's end


main()
