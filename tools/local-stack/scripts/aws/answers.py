"""The answers of AWS's operations about a stack."""

import base64
import datetime
import hashlib
import json

import commands
from protocol import AwsError
from stack import ACCOUNT

RESERVABLE = 1000


def describe_stacks(stack, StackName):
    if StackName not in (stack.name, stack.arn):
        raise AwsError("ValidationError", 400, f"Stack with id {StackName} does not exist")
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in stack.parameters.items()]
    described = {
        "StackId": stack.arn,
        "StackName": stack.name,
        "Parameters": parameters,
        "CreationTime": stack.deployed,
        "StackStatus": "UPDATE_COMPLETE",
    }
    return {"Stacks": [described]}


def list_stack_resources(stack, StackName, NextToken="0"):
    """In pages, as AWS answers for stacks of this size."""
    size, begin = 100, int(NextToken)
    summaries = [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": stack.physical_ids[name],
            "ResourceType": kind,
            "LastUpdatedTimestamp": stack.deployed,
            "ResourceStatus": "UPDATE_COMPLETE",
        }
        for name, (kind, _) in stack.resources.items()
    ]
    answer = {"StackResourceSummaries": summaries[begin : begin + size]}
    if begin + size < len(summaries):
        answer["NextToken"] = str(begin + size)
    return answer


def get_template(stack, StackName, TemplateStage):
    if TemplateStage != "Processed":
        raise AwsError("ValidationError", 400, "the original template is not known here")
    return {"TemplateBody": json.dumps(stack.template), "StagesAvailable": ["Original", "Processed"]}


def get_function(stack, FunctionName):
    name, properties = stack.function(FunctionName)
    # AWS writes no colon into the offset.
    modified = (stack.deployed - datetime.timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    copied = ["Description", "Handler", "MemorySize", "Role", "Runtime", "Timeout", "Architectures", "LoggingConfig"]
    variables = properties["Environment"]["Variables"]
    configuration = {
        "FunctionName": FunctionName,
        "FunctionArn": stack.attribute(name, "Arn"),
        "CodeSize": 2_000_000,
        "CodeSha256": base64.b64encode(hashlib.sha256(name.encode()).digest()).decode(),
        "Environment": {"Variables": {name: dynamic(stack, str(value)) for name, value in variables.items()}},
        "LastModified": modified,
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "State": "Active",
        "Version": "$LATEST",
        **{name: properties[name] for name in copied},
    }
    answer = {
        "Configuration": configuration,
        "Code": {"RepositoryType": "S3", "Location": "https://prod.example/code"},
        "Tags": {tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags", [])},
    }
    if "ReservedConcurrentExecutions" in properties:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": properties["ReservedConcurrentExecutions"]}
    return answer


def dynamic(stack, value):
    """Resolves a dynamic reference, as CloudFormation does at a deployment."""
    prefix, suffix = "{{resolve:secretsmanager:", ":SecretString}}"
    if value.startswith(prefix):
        return stack.secrets[value.removeprefix(prefix).removesuffix(suffix)]
    return value


def get_function_url_config(stack, FunctionName):
    for name, properties in stack.of_type("AWS::Lambda::Url").items():
        if properties["TargetFunctionArn"] == FunctionName:
            time = stack.deployed.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
            return {
                "FunctionUrl": f"https://{name.lower()}.lambda-url.{stack.region}.on.aws/",
                "FunctionArn": f"arn:aws:lambda:{stack.region}:{ACCOUNT}:function:{FunctionName}",
                "AuthType": properties["AuthType"],
                "CreationTime": time,
                "LastModifiedTime": time,
                "InvokeMode": properties.get("InvokeMode", "BUFFERED"),
            }
    raise AwsError("ResourceNotFoundException", 404)


def get_policy(stack, FunctionName):
    name, _ = stack.function(FunctionName)
    permissions = stack.of_type("AWS::Lambda::Permission").items()
    statements = [
        statement(stack, id, properties)
        for id, properties in permissions
        if properties["FunctionName"] in (FunctionName, stack.attribute(name, "Arn"))
    ]
    if not statements:
        raise AwsError("ResourceNotFoundException", 404)
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return {"Policy": json.dumps(policy), "RevisionId": "1"}


def statement(stack, id, properties):
    principal = properties["Principal"]
    written = {
        "Sid": stack.physical_ids[id],
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"Service": principal},
        "Action": properties["Action"],
        "Resource": "arn:aws:lambda:::function:x",
    }
    if "SourceArn" in properties:
        written["Condition"] = {"ArnLike": {"AWS:SourceArn": properties["SourceArn"]}}
    if "FunctionUrlAuthType" in properties:
        auth_type = properties["FunctionUrlAuthType"]
        written["Condition"] = {"StringEquals": {"lambda:FunctionUrlAuthType": auth_type}}
    if properties.get("InvokedViaFunctionUrl"):
        written["Condition"] = {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
    return written


def get_account_settings(stack):
    functions = stack.of_type("AWS::Lambda::Function").values()
    reserved = sum(properties.get("ReservedConcurrentExecutions", 0) for properties in functions)
    limit = {"ConcurrentExecutions": RESERVABLE, "UnreservedConcurrentExecutions": RESERVABLE - reserved}
    return {"AccountLimit": limit}


def invoke(stack, FunctionName, Payload):
    name, _ = stack.function(FunctionName)
    if name != "Doctor" or json.loads(Payload) != {}:
        raise AssertionError("only the doctor may be invoked")
    return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": json.dumps(stack.report).encode()}


def operations(stack):
    """The operations of the API's OpenAPI document, with a number each."""
    (api,) = stack.of_type("AWS::ApiGatewayV2::Api").values()
    paths = api["Body"]["paths"].items()
    routes = [(method.upper(), path, operation) for path, one in paths for method, operation in one.items()]
    return enumerate(sorted(routes, key=lambda route: route[:2]))


def get_routes(stack, ApiId, NextToken="0"):
    require_api(stack, ApiId)
    items = [
        {
            "RouteKey": f"{method} {path}",
            "RouteId": f"r{number}",
            "Target": f"integrations/i{number}",
            "AuthorizationType": "NONE",
            "ApiKeyRequired": False,
        }
        for number, (method, path, _) in operations(stack)
    ]
    return page(items, NextToken)


def get_integrations(stack, ApiId, NextToken="0"):
    require_api(stack, ApiId)
    items = [
        {
            "IntegrationId": f"i{number}",
            "IntegrationType": "AWS_PROXY",
            "IntegrationUri": operation["x-amazon-apigateway-integration"]["uri"],
            "ConnectionType": "INTERNET",
        }
        for number, (_, _, operation) in operations(stack)
    ]
    return page(items, NextToken)


def page(items, token, size=25):
    begin = int(token)
    answer = {"Items": items[begin : begin + size]}
    return {**answer, "NextToken": str(begin + size)} if begin + size < len(items) else answer


def require_api(stack, id):
    if id not in stack.physical_ids.values():
        raise AwsError("NotFoundException", 404)


def get_schedule(stack, Name):
    for name, properties in stack.of_type("AWS::Scheduler::Schedule").items():
        if stack.physical_ids[name] == Name:
            copied = ["Description", "FlexibleTimeWindow", "ScheduleExpression", "Target"]
            return {"Name": Name, "GroupName": "default", "State": "ENABLED", **{key: properties[key] for key in copied}}
    raise AwsError("ResourceNotFoundException", 404)


def get_queue_attributes(stack, QueueUrl, AttributeNames):
    if QueueUrl not in stack.physical_ids.values():
        raise AwsError("QueueDoesNotExist", 400)
    known = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
    return {"Attributes": {name: known[name] for name in AttributeNames}}


def describe_alarms(stack, AlarmNames, MaxRecords):
    alarms = {stack.physical_ids[name]: one for name, one in stack.of_type("AWS::CloudWatch::Alarm").items()}
    described = []
    for name in AlarmNames[:MaxRecords]:
        if name in alarms:
            properties = {key: value for key, value in alarms[name].items()}
            for number in ("Threshold", "EvaluationPeriods", "DatapointsToAlarm"):
                if number in properties:
                    properties[number] = (float if number == "Threshold" else int)(properties[number])
            described.append({"AlarmName": name, "ActionsEnabled": True, "StateValue": "OK", **properties})
    return {"MetricAlarms": described}


def get_metric_data(stack, MetricDataQueries, StartTime, EndTime):
    """Scheduled functions are invoked in every period, and the queues are empty."""
    last = datetime.datetime.fromtimestamp(EndTime // 300 * 300 - 300, datetime.timezone.utc).astimezone()
    results = []
    for query in MetricDataQueries:
        metric = query["MetricStat"]["Metric"]
        times = [last, last - datetime.timedelta(seconds=300)] if metric["MetricName"] == "Invocations" else []
        names = [dimension["Value"] for dimension in metric["Dimensions"]]
        assert all(any(id.endswith(name) for id in stack.physical_ids.values()) for name in names), names
        results.append(
            {"Id": query["Id"], "Timestamps": times, "Values": [5.0 for _ in times], "StatusCode": "Complete"}
        )
    return {"MetricDataResults": results}


def describe_log_groups(stack, logGroupNamePrefix, nextToken="0"):
    groups = [
        {"logGroupName": one["LogGroupName"], "retentionInDays": int(one["RetentionInDays"])}
        for one in stack.of_type("AWS::Logs::LogGroup").values()
        if one["LogGroupName"].startswith(logGroupNamePrefix)
    ]
    size, begin = 50, int(nextToken)
    answer = {"logGroups": groups[begin : begin + size]}
    return {**answer, "nextToken": str(begin + size)} if begin + size < len(groups) else answer


def get_secret_value(stack, SecretId):
    if SecretId not in stack.secrets:
        raise AwsError("ResourceNotFoundException", 400)
    arn = f"arn:aws:secretsmanager:{stack.region}:{ACCOUNT}:secret:{SecretId}-AbCdEf"
    return {"ARN": arn, "Name": SecretId, "SecretString": stack.secrets[SecretId], "VersionStages": ["AWSCURRENT"]}


ANSWERS = {
    ("apigatewayv2", "GetIntegrations"): get_integrations,
    ("apigatewayv2", "GetRoutes"): get_routes,
    ("cloudformation", "DescribeStacks"): describe_stacks,
    ("cloudformation", "GetTemplate"): get_template,
    ("cloudformation", "ListStackResources"): list_stack_resources,
    ("cloudwatch", "DescribeAlarms"): describe_alarms,
    ("cloudwatch", "GetMetricData"): get_metric_data,
    ("lambda", "GetAccountSettings"): get_account_settings,
    ("lambda", "GetFunction"): get_function,
    ("lambda", "GetFunctionUrlConfig"): get_function_url_config,
    ("lambda", "GetPolicy"): get_policy,
    ("lambda", "Invoke"): invoke,
    ("logs", "DescribeLogGroups"): describe_log_groups,
    ("scheduler", "GetSchedule"): get_schedule,
    ("secretsmanager", "GetSecretValue"): get_secret_value,
    ("sqs", "GetQueueAttributes"): get_queue_attributes,
    **commands.ANSWERS,
}
