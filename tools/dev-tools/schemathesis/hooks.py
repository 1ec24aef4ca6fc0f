"""What every client knows and no schema says: keys and ids are used once, agents are those that exist.

Without it nearly everything well-formed would be refused by the second request, for a key or an id that stands for
something else already, and nothing behind that would ever be reached. One in eight is left as it was made up, so that what
is refused then is asked for too. What is wrong in its form is never touched: it is to be refused for that.
"""

import json
import os
import pathlib
import re
import uuid

import schemathesis

# The session that stays open, and the one that is cancelled in its place.
OPEN, ENDING = os.environ["EXPLORED_OPEN"], os.environ["EXPLORED_ENDING"]
AGENTS = ("accounts_payable", "tax_compliance")
# The caller's own, as it is sent.
TOKEN = json.loads(pathlib.Path("people.json").read_text())["auth"][0]["fixedHeaders"][0]["value"]

KEY = re.compile(r"[!-~]{1,255}")
EVENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
AGENT_ID = re.compile(r"[a-z][a-z0-9_]{0,62}")

used = set()
count = 0


def left():
    """Whether this one stays as it is. Counted, not drawn, so that a seed asks the same again."""
    global count
    count += 1
    return count % 8 == 0


def fits(pattern, value):
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def once(pattern, value):
    """The value the first time, another each time after."""
    if not fits(pattern, value):
        return value
    if value not in used:
        used.add(value)
        return value
    return value if left() else str(uuid.uuid5(uuid.UUID(OPEN), str(count)))


def agent(fields):
    """The same with an agent that exists."""
    if isinstance(fields, dict) and fits(AGENT_ID, fields.get("agentId")) and fields["agentId"] not in AGENTS and not left():
        return {**fields, "agentId": AGENTS[count % 2]}
    return fields


def event(fields):
    """The same as an event of its own."""
    if not isinstance(fields, dict):
        return fields
    known = {"id": lambda value: once(EVENT_ID, value), "payload": agent}
    return {name: known[name](value) if name in known else value for name, value in fields.items()}


@schemathesis.hook
def before_call(context, case, kwargs):
    # A request by nobody is refused for that before all else. And one whose headers were exchanged is judged anew, without a look
    # at its token: it would pass for a good one.
    if case.headers.get("Authorization") != TOKEN:
        return
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = once(KEY, case.headers["Idempotency-Key"])
    match case.operation.definition.raw.get("operationId"):
        case "create-session":
            case.body = agent(case.body)
        case "record-events":
            case.body = [event(each) for each in case.body] if isinstance(case.body, list) else event(case.body)
        case "cancel-session" if case.path_parameters and case.path_parameters.get("id") == OPEN:
            case.path_parameters = {**case.path_parameters, "id": ENDING}
