"""Validates exchanges of a chat with openai-chatkit's own types.

The output begins with a line {"version": ...}. Each line of input is then a list of exchanges, and
each line of output the list of their problems.

An exchange is {"request": text, "streamed": bool, "answer": text}: the body of a request, whether
its answer is an event stream, and the bytes of the answer. A problem is a text. It states where the
types reject a value, where the types do not have a field, where a default is not written, and where
a rule of the protocol is broken that the types do not state.
"""

import datetime
import importlib.metadata
import json
import re
import sys

import pydantic
from chatkit import types

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

# Items that a server stores for the model. No client may receive them.
HIDDEN = ("hidden_context_item", "sdk_hidden_context", "reasoning")

# The prefixes of the reference's ids.
PREFIXES = {
    "user_message": "msg_", "assistant_message": "msg_", "widget": "msg_", "structured_input": "msg_",
    "generated_image": "msg_", "client_tool_call": "tc_", "workflow": "wf_", "task": "tsk_", "end_of_turn": "msg_",
}

REQUEST = pydantic.TypeAdapter(types.ChatKitReq)
EVENT = pydantic.TypeAdapter(types.ThreadStreamEvent)
ANSWERS = {
    "threads.get_by_id": pydantic.TypeAdapter(types.Thread),
    "threads.list": pydantic.TypeAdapter(types.Page[types.Thread]),
    "threads.update": pydantic.TypeAdapter(types.Thread),
    "items.list": pydantic.TypeAdapter(types.Page[types.ThreadItem]),
    "threads.sync_custom_action": pydantic.TypeAdapter(types.SyncCustomActionResponse),
}
# Their answer is an empty object.
EMPTY = ("threads.delete", "items.feedback")


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a field occurs twice: {names}")
    return dict(pairs)


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def parse(text):
    return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)


def differences(sent, known, path):
    """Compares a value with what the types make of it."""
    if isinstance(sent, dict) and isinstance(known, dict):
        yield from (f"{path}: the types do not have {name!r}, or it is null" for name in sent if name not in known)
        for name, value in known.items():
            if name not in sent:
                yield f"{path}: {name!r} is missing, its default is {value!r}"
            elif name == "created_at":
                yield from date(sent[name], value, f"{path}.{name}")
            else:
                yield from differences(sent[name], value, f"{path}.{name}")
    elif isinstance(sent, list) and isinstance(known, list) and len(sent) == len(known):
        for index, pair in enumerate(zip(sent, known)):
            yield from differences(*pair, f"{path}.{index}")
    elif type(sent) is not type(known) or sent != known:
        yield f"{path}: {sent!r} was read as {known!r}"


def date(sent, known, path):
    # The reference writes local times without a zone, which a browser in another zone misreads.
    if not isinstance(sent, str) or not DATE.fullmatch(sent):
        yield f"{path}: {sent!r} is not a date in UTC"
    elif datetime.datetime.fromisoformat(sent) != datetime.datetime.fromisoformat(known):
        yield f"{path}: {sent!r} was read as {known!r}"


def validate(adapter, text, path):
    """Yields the problems of a value. The types convert nothing."""
    try:
        sent = parse(text)
        model = adapter.validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        yield from (f"{path}.{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors())
        return
    except ValueError as error:
        yield f"{path}: {error}"
        return
    known = adapter.dump_json(model, by_alias=True, exclude_none=True, context={"exclude_metadata": True})
    yield from differences(sent, json.loads(known), path)
    yield from rules(sent, path)


def rules(value, path):
    """Yields the broken rules that the types do not state."""
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from rules(part, f"{path}.{index}")
    if not isinstance(value, dict):
        return
    if "thread_id" in value and "created_at" in value:
        kind, id = value.get("type"), value["id"]
        if kind in HIDDEN:
            yield f"{path}: a client received a {kind}"
        elif not id.startswith(PREFIXES[kind]) or len(id) > 64:
            yield f"{path}: a {kind} has the id {id!r}"
    if "status" in value and "items" in value:
        if not value["id"].startswith("thr_") or value["metadata"] != {}:
            yield f"{path}: a thread shows {value['id']!r} {value['metadata']!r}"
    if "has_more" in value:
        after = value["data"][-1]["id"] if value["has_more"] and value["data"] else None
        if value.get("after") != after:
            yield f"{path}: 'after' is {value.get('after')!r} instead of {after!r}"
    for name, part in value.items():
        # The free JSON of a tag.
        if name != "data" or isinstance(part, list):
            yield from rules(part, f"{path}.{name}")


def stream(kind, text):
    """Yields the problems of a stream: of its frames, its events and their order."""
    if not text.endswith("\n\n"):
        yield f"the stream ends with {text[-20:]!r}"
        return
    kinds = []
    for index, frame in enumerate(text[:-2].split("\n\n")):
        path = f"event {index}"
        if not frame.startswith("data: ") or "\n" in frame or "\r" in frame:
            yield f"{path}: the frame is {frame!r}"
            return
        yield from validate(EVENT, frame[len("data: "):], path)
        try:
            event = json.loads(frame[len("data: "):])
        except ValueError:
            return
        kinds.append(event["type"])
        if event["type"].startswith("thread.") and event.get("thread", {}).get("items", {}).get("data"):
            yield f"{path}: the thread of an event has items"
    first = {"threads.create": ["thread.created", "thread.item.done"], "threads.add_user_message": ["thread.item.done"]}
    expected = [*first.get(kind, []), "stream_options"]
    if [k for k in kinds if k != "thread.item.removed"][:len(expected)] != expected:
        yield f"the stream begins with {kinds[:3]} instead of {expected}"
    if kinds.count("stream_options") != 1:
        yield f"the stream options were sent {kinds.count('stream_options')} times"
    if "error" in kinds[:-1]:
        yield "an event follows an error"


def check(exchange):
    try:
        REQUEST.validate_json(exchange["request"], strict=True)
    except pydantic.ValidationError as error:
        yield from (f"request.{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors())
    kind = json.loads(exchange["request"])["type"]
    if exchange["streamed"]:
        yield from stream(kind, exchange["answer"])
    elif kind in EMPTY:
        if exchange["answer"] != "{}":
            yield f"expected an empty object, found {exchange['answer']!r}"
    else:
        yield from validate(ANSWERS[kind], exchange["answer"], "answer")
        threads = parse(exchange["answer"])
        threads = {"threads.list": threads.get("data"), "threads.update": [threads]}.get(kind) or []
        if any(thread["items"] != {"data": [], "has_more": False} for thread in threads):
            yield "only threads.get_by_id returns items"


def main():
    print(json.dumps({"version": importlib.metadata.version("openai-chatkit")}), flush=True)
    for line in iter(sys.stdin.readline, ""):
        exchanges = json.loads(line)
        problems = [f"{e['request']}: {problem}" for e in exchanges for problem in check(e)]
        print(json.dumps(problems), flush=True)


main()
