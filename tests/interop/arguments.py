"""The command line every Python client here shares, and the one JSON line it answers with."""

import argparse
import asyncio
import json
import sys


def endpoint(text):
    """`10.0.0.1:3478` or `[fd00::1]:3478` as (host, port)."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def parser(description):
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--server", type=endpoint, required=True, help="TURN server, HOST:PORT")
    arguments.add_argument("--user", required=True)
    arguments.add_argument("--password", required=True)
    arguments.add_argument("--count", type=int, default=20, help="messages there and back")
    arguments.add_argument("--timeout", type=float, default=30.0, help="seconds for the whole run")
    return arguments


def answer(client, arguments):
    """Run `client(arguments)`, print what it returns as JSON; exit 1 unless its `ok` is true."""
    try:
        result = asyncio.run(asyncio.wait_for(client(arguments), arguments.timeout))
    except Exception as fault:  # the fault is the result
        result = {"ok": False, "error": f"{type(fault).__name__}: {fault}"}
    print(json.dumps(result), flush=True)
    sys.exit(0 if result["ok"] else 1)
