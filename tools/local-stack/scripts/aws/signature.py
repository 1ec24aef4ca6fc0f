"""Verifies Signature Version 4 with botocore."""

import datetime
import hmac
import re

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from protocol import AwsError

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)

# AWS accepts requests of this age.
MAX_AGE = datetime.timedelta(minutes=5)


class Verifier:
    def __init__(self, region, credentials):
        self.region = region
        self.credentials = Credentials(*credentials)

    def verify(self, request):
        """Returns the service in the signature's scope."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        match = AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if not match:
            raise AwsError("MissingAuthenticationToken", 403)
        key, date, region, service, signed, signature = match.groups()
        timestamp = headers.get("x-amz-date", "")
        if key != self.credentials.access_key or headers.get("x-amz-security-token") != self.credentials.token:
            raise AwsError("UnrecognizedClientException", 403)
        if region != self.region or not timestamp.startswith(date):
            raise AwsError("SignatureDoesNotMatch", 403)
        signed = signed.split(";")
        required = {"host", "x-amz-date", "x-amz-security-token"} & set(headers)
        if not required <= set(signed):
            raise AwsError("SignatureDoesNotMatch", 403)
        time = datetime.datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs(datetime.datetime.now(datetime.timezone.utc) - time) > MAX_AGE:
            raise AwsError("SignatureDoesNotMatch", 403)
        expected = self.signature(request, service, timestamp, {name: headers[name] for name in signed})
        if not hmac.compare_digest(expected, signature):
            raise AwsError("SignatureDoesNotMatch", 403)
        return service

    def signature(self, request, service, timestamp, signed_headers):
        signer = SigV4Auth(self.credentials, service, self.region)
        signable = AWSRequest(
            method=request.method,
            url=f"http://{signed_headers['host']}{request.path}",
            headers=signed_headers,
            data=request.body,
        )
        signable.context["timestamp"] = timestamp
        text = signer.string_to_sign(signable, signer.canonical_request(signable))
        return signer.signature(text, signable)
