"""An agent that pays invoices: an MCP server with one tool, `handle_event`.

`route-events` calls the tool with the session events that the agent is registered for. Up to a
limit the agent pays. Above the limit it asks for the approval of another person, and pays after
the decision has arrived in a second call.
"""

import hmac
import os
import sys
import uuid
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Amounts are integers in cents, so that no rounding can occur: 1,000,000 is 10,000.00 EUR.
LIMIT_CENTS = 1_000_000

# The result of each payment by its idempotency key. An agent in production keeps this table in its
# database and writes it in the transaction that orders the payment, so a restart does not lose it.
results: dict[str, dict[str, Any]] = {}

server = MCPServer("payments")


class Invoice(BaseModel):
    """The invoice that the user's click refers to."""

    invoice: str = Field(min_length=1, max_length=100)
    amountCents: int = Field(gt=0, strict=True)


@server.tool()
async def handle_event(
    session: dict[str, Any],
    event: dict[str, Any],
    idempotencyKey: str,
    inputs: dict[str, Any] | None = None,
    decision: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Pays the invoice of a session event, or asks for an approval."""
    # A repeated call has the result of the first call and does not pay again.
    if idempotencyKey in results:
        return results[idempotencyKey]
    payload = event["payload"]
    if event["type"] != "button_click" or payload.get("action") != "pay":
        return {"status": "completed", "output": {"ignored": event["type"]}}
    try:
        # An edited call has inputs. They have the form of a payload, so that the registration can
        # point to the amount of both.
        invoice = Invoice.model_validate((inputs or payload).get("data"))
    except ValidationError:
        return {"status": "failed", "message": "The invoice or its amount is missing or invalid."}
    name = f"invoice {invoice.invoice}"
    if decision is None and invoice.amountCents > LIMIT_CENTS:
        return {
            "status": "needs_hitl",
            "message": f"Another person has to approve {name}.",
            "ask": {
                "reason": f"The amount of {name} is above {LIMIT_CENTS // 100:,} EUR.",
                "decisions": ["approve", "reject"],
                "risk": "medium",
                "approver": "other",
            },
        }
    if decision is not None and decision["decision"] not in ("approve", "edit"):
        return {"status": "completed", "message": f"The payment of {name} was rejected."}
    # There is no `await` between the check of the key and this assignment, so two calls with one
    # key cannot both pay. The bank's API would be called here, with the idempotency key.
    results[idempotencyKey] = {
        "status": "completed",
        "message": f"The payment of {name} is ordered.",
        "output": {"paymentId": str(uuid.uuid4()), **invoice.model_dump()},
    }
    return results[idempotencyKey]


class RequireBearer:
    """Rejects requests without the bearer that `AGENT_CREDENTIALS` contains for this agent."""

    def __init__(self, app: ASGIApp, bearer: str) -> None:
        self.app = app
        self.expected = f"Bearer {bearer}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            authorization = Headers(scope=scope).get("authorization", "").encode()
            # The comparison takes equally long wherever the difference is.
            if not hmac.compare_digest(authorization, self.expected):
                headers = {"WWW-Authenticate": "Bearer"}
                response = JSONResponse({"error": "invalid_token"}, 401, headers)
                return await response(scope, receive, send)
        await self.app(scope, receive, send)


if __name__ == "__main__":
    bearer = os.environ.get("AGENT_BEARER", "")
    if not bearer:
        sys.exit("Set AGENT_BEARER to the bearer of this agent in AGENT_CREDENTIALS.")
    app = server.streamable_http_app(
        # Without MCP sessions, any number of processes can serve the same address.
        stateless_http=True,
        json_response=True,
        # The SDK would accept local host names only, as a protection of servers without a bearer.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    port = int(os.environ.get("PORT", "4000"))
    uvicorn.run(RequireBearer(app, bearer), host=os.environ.get("HOST", "127.0.0.1"), port=port)
