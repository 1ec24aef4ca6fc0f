"""Makes calls with OpenAI's SDK. Each line of input is a call, each line of output its result.

The first line configures the client: {"base_url", "api_key", "project", "max_retries", "timeout"}.
The others are {"call": "threads.list", "args": [...], "kwargs": {...}}. With "pages" instead of
"call" the result contains the ids of all pages of a list, and with "stream" the results of all
events. Names that begin with "responses." are methods of the Responses API, others of ChatKit.

A result is {"ok": fields, "unknown": [...], "missing": [...], "invalid": [...]}: fields that the
SDK's types do not have, fields of its types that were not sent, and errors of strict validation,
which the SDK itself does not do. A failure is
{"error": {"class", "status", "code", "param", "type", "message", "request_id"}}.
"""

import itertools
import json
import sys

import openai
import pydantic
from openai.pagination import SyncConversationCursorPage


# More than any test creates. It bounds a list whose pages do not end.
MAX_ROWS = 1000


def validate(model, path, report):
    """Compares a model and the models in it with their types."""
    model_type = type(model)
    if not isinstance(model, SyncConversationCursorPage):
        try:
            sent = model.model_dump_json(by_alias=True, exclude_unset=True, warnings=False)
            model_type.model_validate_json(sent, strict=True)
        except pydantic.ValidationError as error:
            report["invalid"] += [f"{path}.{'.'.join(map(str, e['loc']))}: {e['type']}" for e in error.errors()]
    report["unknown"] += [f"{path}.{name}" for name in model.model_extra or {}]
    report["missing"] += [f"{path}.{name}" for name in model_type.model_fields if name not in model.model_fields_set]
    for name in model.model_fields_set:
        value = getattr(model, name)
        for i, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part, pydantic.BaseModel):
                validate(part, f"{path}.{name}.{i}" if isinstance(value, list) else f"{path}.{name}", report)


def success(model):
    report = {"ok": model.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)}
    report |= {"class": type(model).__name__, "unknown": [], "missing": [], "invalid": []}
    validate(model, "", report)
    return report


def failure(error):
    names = ("code", "param", "type", "message", "request_id")
    fields = {name: getattr(error, name, None) for name in names}
    fields["message"] = fields["message"] or str(error)
    return {"error": {"class": type(error).__name__, "status": getattr(error, "status_code", None), **fields}}


def read(stream):
    events = []
    try:
        for event in stream:
            events.append(success(event))
    except Exception as error:
        return {"ok": events, **failure(error)}
    return {"ok": events}


def perform(client, request):
    path = request.get("call") or request.get("stream") or request["pages"]
    method = client if path.startswith("responses.") else client.beta.chatkit
    for name in path.split("."):
        method = getattr(method, name)
    result = method(*request.get("args", []), **request.get("kwargs", {}))
    if "stream" in request:
        return read(result)
    if "pages" in request:
        ids = [row.id for row in itertools.islice(result, MAX_ROWS)]
        if len(ids) == MAX_ROWS:
            raise RuntimeError("the pages do not end")
        return {"ok": ids}
    return success(result)


def main():
    lines = iter(sys.stdin.readline, "")
    settings = json.loads(next(lines))
    client = openai.OpenAI(**settings)
    print(json.dumps({"version": openai.__version__}), flush=True)
    for line in lines:
        try:
            result = perform(client, json.loads(line))
        except Exception as error:
            result = failure(error)
        print(json.dumps(result), flush=True)


main()
