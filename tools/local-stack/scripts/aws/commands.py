"""The answers to the commands that the documentation tells operators to run."""

import re

from protocol import AwsError
from stack import ACCOUNT, UUID


def secret_arn(stack, name):
    return f"arn:aws:secretsmanager:{stack.region}:{ACCOUNT}:secret:{name}-AbCdEf"


def create_secret(stack, Name, SecretString, ClientRequestToken):
    """Only of a secret that the template reads by default."""
    if Name not in stack.parameters.values() or not SecretString.strip():
        raise AwsError("InvalidParameterException", 400, f"the template does not read {Name}")
    return {"ARN": secret_arn(stack, Name), "Name": Name, "VersionId": ClientRequestToken}


def put_secret_value(stack, SecretId, SecretString, ClientRequestToken):
    require_secret(stack, SecretId)
    if not SecretString.strip():
        raise AwsError("InvalidParameterException", 400, "the secret is empty")
    return {"ARN": secret_arn(stack, SecretId), "Name": SecretId, "VersionId": ClientRequestToken}


def delete_secret(stack, SecretId):
    require_secret(stack, SecretId)
    return {"ARN": secret_arn(stack, SecretId), "Name": SecretId}


def require_secret(stack, name):
    if name not in stack.secrets:
        raise AwsError("ResourceNotFoundException", 400)


def get_caller_identity(stack):
    return {"UserId": "AIDAFAKE", "Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/operator"}


def put_function_concurrency(stack, FunctionName, ReservedConcurrentExecutions):
    stack.function(FunctionName)
    return {"ReservedConcurrentExecutions": ReservedConcurrentExecutions}


def create_topic(stack, Name):
    return {"TopicArn": f"arn:aws:sns:{stack.region}:{ACCOUNT}:{Name}"}


def subscribe(stack, TopicArn, Protocol, Endpoint):
    if not TopicArn.startswith(f"arn:aws:sns:{stack.region}:{ACCOUNT}:"):
        raise AwsError("NotFound", 404)
    return {"SubscriptionArn": "pending confirmation"}


def create_domain_name(stack, DomainName, DomainNameConfigurations):
    (configuration,) = DomainNameConfigurations
    if not configuration["CertificateArn"].startswith("arn:aws:acm:"):
        raise AwsError("BadRequestException", 400, "no certificate")
    return {"DomainName": DomainName, "DomainNameConfigurations": DomainNameConfigurations}


def create_api_mapping(stack, DomainName, ApiId, Stage, ApiMappingKey):
    if ApiId not in stack.physical_ids.values() or Stage != "$default":
        raise AwsError("NotFoundException", 404)
    return {"ApiId": ApiId, "ApiMappingId": "m1", "ApiMappingKey": ApiMappingKey, "Stage": Stage}


def start_query(stack, startTime, endTime, queryString):
    prefix = re.search(r"SOURCE logGroups\(namePrefix: \['([^']+)'\]\) \| \S", queryString)
    groups = [one["LogGroupName"] for one in stack.of_type("AWS::Logs::LogGroup").values()]
    if startTime >= endTime or not prefix or not any(name.startswith(prefix[1]) for name in groups):
        raise AwsError("InvalidParameterException", 400, f"the query {queryString} reads no log")
    return {"queryId": UUID}


def get_query_results(stack, queryId):
    return {"results": [[{"field": "request_id", "value": "found"}]], "status": "Complete"}


def list_schedules(stack):
    summaries = [
        {"Name": stack.physical_ids[name], "State": "ENABLED", "Target": {"Arn": one["Target"]["Arn"]}}
        for name, one in stack.of_type("AWS::Scheduler::Schedule").items()
    ]
    return {"Schedules": summaries}


def receive_message(stack, QueueUrl, MaxNumberOfMessages, VisibilityTimeout):
    require_queue(stack, QueueUrl)
    return {"Messages": [{"MessageId": UUID, "ReceiptHandle": "r", "Body": "{}"}]}


def purge_queue(stack, QueueUrl):
    require_queue(stack, QueueUrl)
    return {}


def require_queue(stack, url):
    if url not in stack.physical_ids.values():
        raise AwsError("QueueDoesNotExist", 400)


ANSWERS = {
    ("apigatewayv2", "CreateApiMapping"): create_api_mapping,
    ("apigatewayv2", "CreateDomainName"): create_domain_name,
    ("lambda", "PutFunctionConcurrency"): put_function_concurrency,
    ("logs", "GetQueryResults"): get_query_results,
    ("logs", "StartQuery"): start_query,
    ("scheduler", "ListSchedules"): list_schedules,
    ("secretsmanager", "CreateSecret"): create_secret,
    ("secretsmanager", "DeleteSecret"): delete_secret,
    ("secretsmanager", "PutSecretValue"): put_secret_value,
    ("sns", "CreateTopic"): create_topic,
    ("sns", "Subscribe"): subscribe,
    ("sqs", "PurgeQueue"): purge_queue,
    ("sqs", "ReceiveMessage"): receive_message,
    ("sts", "GetCallerIdentity"): get_caller_identity,
}
