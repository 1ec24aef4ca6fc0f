"""Faults in the answers of the fake."""

import copy
import json

from protocol import AwsError


class Faults:
    """Each fault names an operation, the parameters of the requests that it applies to, and either an
    error, or changes of the answer: a path, and the value to set, or none to delete."""

    def __init__(self, faults):
        self.faults = faults

    def of(self, operation, parameters):
        """Returns the faults of a request."""
        called = operation.service_model.service_name, operation.name
        return [
            fault
            for fault in self.faults
            if (fault["service"], fault["operation"]) == called
            and all(parameters.get(name) == value for name, value in fault.get("when", {}).items())
        ]


def apply(faults, answer):
    """Returns the answer with the changes of the faults."""
    for fault in faults:
        if "error" in fault:
            raise AwsError(*fault["error"])
    answer = copy.deepcopy(answer()) if faults else answer()
    for fault in faults:
        for change in fault["changes"]:
            answer = changed(answer, change["path"], change.get("value"), "value" not in change)
    return answer


def changed(value, path, new, is_deletion):
    """Returns the value with a change. A step of the path is the name of a member, or the index of a
    list's; an object stands for the first member with the same members, and `+` for a new one. A text
    on the way is JSON."""
    if isinstance(value, str):
        return json.dumps(changed(json.loads(value), path, new, is_deletion))
    step, rest = path[0], path[1:]
    if isinstance(step, dict):
        matching = (index for index, member in enumerate(value) if step.items() <= member.items())
        step = next(matching, None)
        if step is None:
            # It is on another page.
            return value
    if rest:
        value[step] = changed(value[step], rest, new, is_deletion)
    elif step == "+":
        value.append(new)
    elif is_deletion:
        del value[step]
    elif isinstance(value, dict) and isinstance(value.get(step), bytes):
        value[step] = json.dumps(new).encode()
    else:
        value[step] = new
    return value
