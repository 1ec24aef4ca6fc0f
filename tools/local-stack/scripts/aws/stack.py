"""A stack as AWS describes it after a deployment without faults. SAM's own translator transforms the
template."""

import datetime
import json
import os
import re

ACCOUNT = "111122223333"
UUID = "0a1b2c3d-0000-4000-8000-000000000000"

# The time between the deployment and now.
AGE = datetime.timedelta(days=2)


class NoValue(Exception):
    """`AWS::NoValue`: the property is left out."""


class NoPolicies:
    """SAM's managed policies, which the template does not name."""

    def load(self):
        return {}


def transform(path, parameters, region):
    os.environ["AWS_DEFAULT_REGION"] = region
    from samtranslator.translator.transform import transform as translate
    from samtranslator.yaml_helper import yaml_parse

    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    # `sam deploy` uploads the functions and writes their place into the template.
    template["Globals"]["Function"]["CodeUri"] = "s3://artifacts/0123456789abcdef"
    return translate(template, {"AWS::Region": region, **parameters}, NoPolicies())


class Stack:
    def __init__(self, settings):
        self.name, self.region = settings["stack"], settings["region"]
        self.arn = f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:stack/{self.name}/{UUID}"
        self.secrets, self.report = settings["secrets"], settings["report"]
        self.template = transform(settings["template"], settings["parameters"], self.region)
        declared = self.template["Parameters"]
        defaults = {name: str(one["Default"]) for name, one in declared.items() if "Default" in one}
        self.parameters = {**defaults, **settings["parameters"]}
        missing = set(declared) - set(self.parameters)
        assert not missing, f"parameters without a value: {missing}"
        self.deployed = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - AGE
        kept = {
            name: one
            for name, one in self.template["Resources"].items()
            if "Condition" not in one or self.holds({"Condition": one["Condition"]})
        }
        self.physical_ids = {name: self.physical_id(name, one) for name, one in kept.items()}
        # Log groups have a name of their own, which may contain others' ids.
        self.resources = {
            name: (one["Type"], self.resolve(one.get("Properties", {}))) for name, one in kept.items()
        }
        for name, (kind, properties) in self.resources.items():
            if kind == "AWS::Logs::LogGroup":
                assert properties["LogGroupName"] == self.physical_ids[name]

    def physical_id(self, name, resource):
        kind, suffix = resource["Type"], "A1B2C3D4E5F6"
        if kind == "AWS::Logs::LogGroup":
            return self.resolve(resource["Properties"]["LogGroupName"])
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{self.region}.amazonaws.com/{ACCOUNT}/{self.name}-{name}-{suffix}"
        if kind == "AWS::ApiGatewayV2::Api":
            return "a1b2c3d4e5"
        return f"{self.name}-{name}-{suffix}"

    # --- the template's references

    def resolve(self, value):
        if isinstance(value, list):
            return [resolved for resolved in map(self.optional, value) if resolved is not NoValue]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            function, argument = next(iter(value.items()))
            if function == "Ref":
                return self.reference(argument)
            if function == "Fn::GetAtt":
                return self.attribute(*argument)
            if function == "Fn::If":
                return self.resolve(argument[1 if self.holds({"Condition": argument[0]}) else 2])
            if function == "Fn::Sub":
                text, variables = argument if isinstance(argument, list) else (argument, {})
                return re.sub(r"\$\{([^}]+)\}", lambda match: self.variable(match.group(1), variables), text)
            if function == "Fn::Join":
                return argument[0].join(self.resolve(argument[1]))
        members = ((name, self.optional(member)) for name, member in value.items())
        return {name: member for name, member in members if member is not NoValue}

    def optional(self, value):
        try:
            return self.resolve(value)
        except NoValue:
            return NoValue

    def reference(self, name):
        if name == "AWS::NoValue":
            raise NoValue
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": self.arn,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        for names in (pseudo, self.parameters, getattr(self, "physical_ids", {})):
            if name in names:
                return names[name]
        raise AssertionError(f"unknown reference: {name}")

    def attribute(self, name, attribute):
        kind, id = self.template["Resources"][name]["Type"], self.physical_ids[name]
        if (kind, attribute) == ("AWS::Lambda::Function", "Arn"):
            return f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{id}"
        if (kind, attribute) == ("AWS::IAM::Role", "Arn"):
            return f"arn:aws:iam::{ACCOUNT}:role/{id}"
        if kind == "AWS::SQS::Queue":
            queue = id.rsplit("/", 1)[1]
            return queue if attribute == "QueueName" else f"arn:aws:sqs:{self.region}:{ACCOUNT}:{queue}"
        return f"{name}.{attribute}"

    def variable(self, name, variables):
        if name in variables:
            return str(self.resolve(variables[name]))
        return str(self.attribute(*name.split(".", 1)) if "." in name else self.reference(name))

    def holds(self, condition):
        function, argument = next(iter(condition.items()))
        if function == "Condition":
            return self.holds(self.template["Conditions"][argument])
        if function == "Fn::Equals":
            return str(self.resolve(argument[0])) == str(self.resolve(argument[1]))
        if function == "Fn::Not":
            return not self.holds(argument[0])
        return {"Fn::And": all, "Fn::Or": any}[function](self.holds(one) for one in argument)

    # --- the answers

    def answer(self, operation, parameters):
        from answers import ANSWERS

        return ANSWERS[operation.service_model.service_name, operation.name](self, **parameters)

    def of_type(self, kind):
        return {name: properties for name, (type, properties) in self.resources.items() if type == kind}

    def function(self, physical_id):
        """Returns the logical id and the properties of a function."""
        from protocol import AwsError

        for name, properties in self.of_type("AWS::Lambda::Function").items():
            if self.physical_ids[name] == physical_id:
                return name, properties
        raise AwsError("ResourceNotFoundException", 404)
