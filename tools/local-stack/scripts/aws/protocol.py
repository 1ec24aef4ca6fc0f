"""The protocols of AWS's services, from botocore's models: reads requests and writes answers."""

import datetime
import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

# The services, by the name in the scope of a signature.
SERVICES = {
    "apigateway": "apigatewayv2",
    "cloudformation": "cloudformation",
    "lambda": "lambda",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "scheduler": "scheduler",
    "secretsmanager": "secretsmanager",
    "sns": "sns",
    "sqs": "sqs",
    "sts": "sts",
}

LOADER = Loader()
MODELS = {}


class AwsError(Exception):
    def __init__(self, code, status, message=""):
        super().__init__(code)
        self.code, self.status, self.message = code, status, message


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes


def model(service):
    if service not in MODELS:
        MODELS[service] = ServiceModel(LOADER.load_service_model(service, "service-2"), service)
    return MODELS[service]


def protocol(service_model):
    protocols = service_model.metadata.get("protocols", [service_model.metadata["protocol"]])
    return next(name for name in protocols if name in ("json", "query", "rest-json"))


def read_operation(scope, request):
    """Returns the operation of a request and its validated parameters."""
    if scope not in SERVICES:
        raise AwsError("UnrecognizedClientException", 403, f"no service signs as {scope}")
    service_model = model(SERVICES[scope])
    read = {"json": read_json, "query": read_query, "rest-json": read_rest}[protocol(service_model)]
    operation, parameters = read(service_model, request)
    shape = operation.input_shape
    report = ParamValidator().validate(parameters, shape) if shape else None
    if parameters and not shape or report and report.has_errors():
        raise AwsError("ValidationException", 400, report.generate_report() if report else "no input")
    return operation, parameters


def operation_of(service_model, name):
    if name not in service_model.operation_names:
        raise AwsError("UnknownOperationException", 404, f"{service_model.service_name} has no {name}")
    return service_model.operation_model(name)


def read_json(service_model, request):
    headers = {name.lower(): value for name, value in request.headers.items()}
    metadata = service_model.metadata
    prefix, _, name = headers.get("x-amz-target", "").rpartition(".")
    if prefix != metadata["targetPrefix"]:
        raise AwsError("UnknownOperationException", 404, f"the target is of {prefix}")
    if headers.get("content-type") != f"application/x-amz-json-{metadata['jsonVersion']}":
        raise AwsError("SerializationException", 400, "the content type")
    return operation_of(service_model, name), json.loads(request.body)


def read_query(service_model, request):
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))
    if form.pop("Version", None) != service_model.metadata["apiVersion"]:
        raise AwsError("NoSuchVersion", 400)
    operation = operation_of(service_model, form.pop("Action", ""))
    for name in form:
        if operation.input_shape.members.get(name) is None or operation.input_shape.members[name].type_name != "string":
            raise AwsError("ValidationError", 400, f"{name} is not a text of {operation.name}")
    return operation, form


def read_rest(service_model, request):
    url = urlsplit(request.path)
    for name in service_model.operation_names:
        http = service_model.operation_model(name).http
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(http["requestUri"]))
        match = re.fullmatch(pattern, url.path) if http["method"] == request.method else None
        if match:
            operation = service_model.operation_model(name)
            break
    else:
        raise AwsError("UnknownOperationException", 404, f"{request.method} {url.path}")
    parameters, query = {}, dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    shape = operation.input_shape
    payload = shape.serialization.get("payload") if shape else None
    headers = {name.lower(): value for name, value in request.headers.items()}
    for name, member in (shape.members if shape else {}).items():
        location, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if location == "uri":
            parameters[name] = unquote(match.group(wire))
        elif location == "querystring" and wire in query:
            parameters[name] = query.pop(wire)
        elif location == "header" and wire.lower() in headers:
            parameters[name] = headers[wire.lower()]
    if query:
        raise AwsError("ValidationException", 400, f"unknown in the query: {sorted(query)}")
    if payload and request.body:
        parameters[payload] = request.body
    elif request.body:
        parameters.update(from_json(shape, json.loads(request.body)))
    return operation, parameters


def from_json(shape, value):
    """Replaces the names in a body by those of the model."""
    if shape.type_name == "structure":
        names = {member.serialization.get("name", name): name for name, member in shape.members.items()}
        unknown = set(value) - set(names)
        if unknown:
            raise AwsError("ValidationException", 400, f"unknown in the body: {sorted(unknown)}")
        return {names[wire]: from_json(shape.members[names[wire]], member) for wire, member in value.items()}
    if shape.type_name == "list":
        return [from_json(shape.member, member) for member in value]
    return value


def write_answer(operation, answer):
    """Returns status, headers and body, after botocore has read the same answer from them."""
    shape = operation.output_shape
    if shape is None:
        assert not answer, f"{operation.name} answers nothing"
        return 200, {"content-type": "application/json"}, b"{}"
    validate(shape, answer, operation.name)
    kind = protocol(operation.service_model)
    headers, status = {"x-amzn-requestid": "fake"}, operation.http.get("responseCode", 200)
    if kind == "query":
        headers["content-type"] = "text/xml"
        body = write_xml(operation, answer).encode()
    else:
        headers["content-type"] = "application/json"
        payload = shape.serialization.get("payload")
        body_members = {}
        for name, value in answer.items():
            member = shape.members[name]
            location = member.serialization.get("location")
            if location == "header":
                headers[member.serialization["name"]] = str(value)
            elif location == "statusCode":
                status = value
            elif name != payload:
                body_members[name] = value
        body = answer[payload] if payload in answer else json.dumps(to_json(shape, body_members)).encode()
    parsed = create_parser(kind).parse({"status_code": status, "headers": headers, "body": body}, shape)
    parsed.pop("ResponseMetadata")
    payload = shape.serialization.get("payload")
    if payload in parsed:
        # botocore's parser returns a text here; its HTTP client a stream.
        parsed[payload] = parsed[payload].encode()
    if parsed != answer:
        raise AssertionError(f"{operation.name}: botocore reads {parsed} instead of {answer}")
    return status, headers, body


def validate(shape, value, path):
    """Checks an answer against the model, including the enumerations, which botocore ignores."""
    report = ParamValidator().validate(value, shape)
    if report.has_errors():
        raise AssertionError(f"{path}: {report.generate_report()}")
    check_enums(shape, value, path)


def check_enums(shape, value, path):
    kind = shape.type_name
    if kind == "structure":
        for name, member in value.items():
            check_enums(shape.members[name], member, f"{path}.{name}")
    elif kind == "list":
        for member in value:
            check_enums(shape.member, member, path)
    elif kind == "map":
        for member in value.values():
            check_enums(shape.value, member, path)
    elif kind == "string" and shape.enum and value not in shape.enum:
        raise AssertionError(f"{path}: {value} is none of {shape.enum}")


def to_json(shape, value):
    kind = shape.type_name
    if kind == "structure":
        members = ((shape.members[name], name, member) for name, member in value.items())
        return {shape.serialization.get("name", name): to_json(shape, member) for shape, name, member in members}
    if kind == "list":
        return [to_json(shape.member, member) for member in value]
    if kind == "map":
        return {name: to_json(shape.value, member) for name, member in value.items()}
    if kind == "timestamp":
        return value.timestamp()
    return value


def write_xml(operation, answer):
    namespace = operation.service_model.metadata["xmlNamespace"]
    result = operation.output_shape.serialization["resultWrapper"]
    return (
        f'<{operation.name}Response xmlns="{namespace}"><{result}>{to_xml(operation.output_shape, answer)}</{result}>'
        f"<ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata></{operation.name}Response>"
    )


def to_xml(shape, value):
    kind = shape.type_name
    if kind == "structure":
        parts = (f"<{name}>{to_xml(shape.members[name], member)}</{name}>" for name, member in value.items())
        return "".join(parts)
    if kind == "list":
        return "".join(f"<member>{to_xml(shape.member, member)}</member>" for member in value)
    if kind == "timestamp":
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if kind == "boolean":
        return "true" if value else "false"
    return escape(str(value))


def write_error(operation, error):
    """Returns an error in the form of the operation's protocol."""
    kind = protocol(operation.service_model) if operation else "json"
    message = error.message or error.code
    if kind == "query":
        text = f"<Type>Sender</Type><Code>{escape(error.code)}</Code><Message>{escape(message)}</Message>"
        return error.status, {"content-type": "text/xml"}, f"<ErrorResponse><Error>{text}</Error></ErrorResponse>".encode()
    headers = {"content-type": "application/json"}
    if kind == "rest-json":
        headers["x-amzn-errortype"] = error.code
        return error.status, headers, json.dumps({"Message": message}).encode()
    prefix = "com.amazonaws.sqs#" if operation and operation.service_model.service_name == "sqs" else ""
    return error.status, headers, json.dumps({"__type": prefix + error.code, "message": message}).encode()
