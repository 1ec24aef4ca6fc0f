"""Replaces generated values by what a client knows: new keys and ids, and existing agents.

Without these hooks, almost every valid request would be rejected, because its key or id is already in
use. One request in eight stays unchanged, so that these rejections are tested too. Invalid values stay
unchanged, because they have to be rejected.
"""

import json
import os
import pathlib
import re
import uuid

import schemathesis

# The session that stays open, and the one to cancel instead.
OPEN, ENDING = os.environ["FUZZ_OPEN_SESSION"], os.environ["FUZZ_CANCEL_SESSION"]
AGENTS = ("accounts_payable", "tax_compliance")
# The caller's header.
TOKEN = json.loads(pathlib.Path("people.json").read_text())["auth"][0]["fixedHeaders"][0]["value"]

KEY = re.compile(r"[!-~]{1,255}")
EVENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
AGENT_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")

used = set()
count = 0


def unchanged():
    """Returns whether a value stays unchanged. Counted, so that a seed is reproducible."""
    global count
    count += 1
    return count % 8 == 0


def matches(pattern, value):
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def unique(pattern, value):
    """Returns the value at its first use, and a new one after that."""
    if not matches(pattern, value):
        return value
    if value not in used:
        used.add(value)
        return value
    return value if unchanged() else str(uuid.uuid5(uuid.UUID(OPEN), str(count)))


def agent(fields):
    """Replaces the agent by an existing one."""
    if isinstance(fields, dict) and matches(AGENT_ID, fields.get("agentId")) and fields["agentId"] not in AGENTS and not unchanged():
        return {**fields, "agentId": AGENTS[count % 2]}
    return fields


def event(fields):
    """Gives the event an unused id."""
    if not isinstance(fields, dict):
        return fields
    known = {"id": lambda value: unique(EVENT_ID, value), "payload": agent}
    return {name: known[name](value) if name in known else value for name, value in fields.items()}


@schemathesis.hook
def before_call(context, case, kwargs):
    # Requests without the caller's token are rejected before everything else. If the headers were
    # replaced, Schemathesis evaluates the request again without its token, and would consider it
    # valid.
    if case.headers.get("Authorization") != TOKEN:
        return
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = unique(KEY, case.headers["Idempotency-Key"])
    match case.operation.definition.raw.get("operationId"):
        case "create-session":
            case.body = agent(case.body)
        case "record-events":
            case.body = [event(each) for each in case.body] if isinstance(case.body, list) else event(case.body)
        case "cancel-session" if case.path_parameters and case.path_parameters.get("id") == OPEN:
            case.path_parameters = {**case.path_parameters, "id": ENDING}
