"""Checks commands of SAM with the parsers of SAM itself, and their names with the template.

The input is {"template": path, "commands": [arguments of sam, …]}. The output is the list of each
command's problem, or null.
"""

import json
import sys

import click
from samcli.cli.main import cli
from samcli.yamlhelper import yaml_parse


def parse(arguments):
    """Returns the path of the command, its options and its arguments."""
    # SAM loads a command's module only in a context with an object.
    context, command, path, rest = click.Context(cli, info_name="sam", obj=True), cli, [], list(arguments)
    while isinstance(command, click.MultiCommand):
        path.append(rest.pop(0))
        command = command.get_command(context, path[-1])
        if command is None:
            raise click.UsageError(f"there is no command {path}")
        context = click.Context(command, info_name=path[-1], parent=context, obj=True)
    options, arguments, _ = command.make_parser(context).parse_args(args=rest)
    return path, options, arguments


def problem(template, arguments):
    try:
        path, options, rest = parse(arguments)
    except click.UsageError as error:
        return error.format_message()
    if rest:
        return f"not read: {rest}"
    given = options.get("parameter_overrides") or []
    for one in [given] if isinstance(given, str) else given:
        for pair in one if isinstance(one, (list, tuple)) else [one]:
            for text in pair.split():
                name, _, value = text.partition("=")
                if name not in template["Parameters"] or not value:
                    return f"the template has no parameter for {text}"
    if path == ["remote", "invoke"]:
        resource = template["Resources"].get(options.get("resource_id"), {})
        if resource.get("Type") != "AWS::Serverless::Function":
            return f"the template has no function {options.get('resource_id')}"
        json.loads(options.get("event") or "{}")
        if not options.get("stack_name"):
            return "no stack"
    return None


def main():
    given = json.load(sys.stdin)
    with open(given["template"], encoding="utf-8") as file:
        template = yaml_parse(file.read())
    print(json.dumps([problem(template, arguments) for arguments in given["commands"]]))


if __name__ == "__main__":
    main()
