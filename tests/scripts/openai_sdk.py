"""Makes calls with OpenAI's own SDK, one a line of standard input, and answers each with a line of JSON.

The first line configures the client: {"base_url", "api_key", "project", "max_retries", "timeout"}. Every other is
{"call": "threads.list", "args": [...], "kwargs": {...}}; "pages" instead of "call" follows all pages of a list.

An answer is {"ok": the fields, "surplus": [...], "lacking": [...], "wrong": [...]}: fields that the SDK's types do
not have, those of its types that were not sent, and what its types reject when they are strict. (By itself the SDK
takes any JSON.) A failure is {"error": {"class", "status", "code", "param", "type", "message", "request_id"}}.
"""

import itertools
import json
import sys

import openai
import pydantic
from openai.pagination import SyncConversationCursorPage


# More than any test puts in; a list that goes round in circles must end.
MOST_ROWS = 1000


def strict(model, at, report):
    """Compares a model, and those within it, with its type."""
    kind = type(model)
    if not isinstance(model, SyncConversationCursorPage):
        try:
            kind.model_validate_json(model.model_dump_json(by_alias=True, exclude_unset=True, warnings=False), strict=True)
        except pydantic.ValidationError as error:
            report["wrong"] += [f"{at}.{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors()]
    report["surplus"] += [f"{at}.{name}" for name in model.model_extra or {}]
    report["lacking"] += [f"{at}.{name}" for name in kind.model_fields if name not in model.model_fields_set]
    for name in model.model_fields_set:
        value = getattr(model, name)
        for i, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part, pydantic.BaseModel):
                strict(part, f"{at}.{name}.{i}" if isinstance(value, list) else f"{at}.{name}", report)


def answer(model):
    report = {"ok": model.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)}
    report |= {"class": type(model).__name__, "surplus": [], "lacking": [], "wrong": []}
    strict(model, "", report)
    return report


def failure(error):
    names = ("code", "param", "type", "message", "request_id")
    fields = {name: getattr(error, name, None) for name in names}
    fields["message"] = fields["message"] or str(error)
    return {"error": {"class": type(error).__name__, "status": getattr(error, "status_code", None), **fields}}


def perform(chatkit, wanted):
    method = chatkit
    for name in (wanted.get("call") or wanted["pages"]).split("."):
        method = getattr(method, name)
    found = method(*wanted.get("args", []), **wanted.get("kwargs", {}))
    if "pages" in wanted:
        ids = [row.id for row in itertools.islice(found, MOST_ROWS)]
        if len(ids) == MOST_ROWS:
            raise RuntimeError("the pages do not end")
        return {"ok": ids}
    return answer(found)


def main():
    lines = iter(sys.stdin.readline, "")
    settings = json.loads(next(lines))
    chatkit = openai.OpenAI(**settings).beta.chatkit
    print(json.dumps({"version": openai.__version__}), flush=True)
    for line in lines:
        try:
            result = perform(chatkit, json.loads(line))
        except Exception as error:
            result = failure(error)
        print(json.dumps(result), flush=True)


main()
