"""A server of MCP's Python SDK, in the installed version.

Its first line of output is the port. It exits when its standard input closes.
"""

import json
import logging
import os
import socket
import sys
import threading
from typing import Any, Optional, Union

import uvicorn
from pydantic import BaseModel

try:
    from mcp.server import MCPServer as Server
    from mcp.server.mcpserver import Context
except ImportError:
    from mcp.server.fastmcp import Context
    from mcp.server.fastmcp import FastMCP as Server

server = Server("reference")

CONTRACT_RESULT = {"status": "needs_hitl", "message": "May I?", "ask": {"reason": "Large.", "risk": "medium"}}
OTHER_RESULT = {"status": "success", "paid": True}


class Ask(BaseModel):
    reason: str
    risk: Optional[str] = None
    decisions: Optional[list[str]] = None


class Answer(BaseModel):
    status: str
    message: Optional[str] = None
    ask: Optional[Ask] = None
    paid: Optional[bool] = None


@server.tool()
def handle_event(session: dict, event: dict, idempotencyKey: str) -> Union[dict[str, Any], str]:
    """Returns a result of the contract, from a tool with a union type."""
    answer = event["payload"].get("data", {}).get("answer")
    if answer == "ours":
        return CONTRACT_RESULT
    if answer == "own":
        return OTHER_RESULT
    if answer == "text":
        return "All is well."
    task = {"id": "t-1", "title": "Look at it", "status": "running"}
    return {"status": "completed", "message": f"{event['type']} of {session['id']} under {idempotencyKey}", "tasks": [task]}


# Each tool returns a result of the contract or another result.
def result(ours: bool) -> dict[str, Any]:
    return CONTRACT_RESULT if ours else OTHER_RESULT


@server.tool()
def union(ours: bool) -> Union[dict[str, Any], int]:
    return result(ours)


@server.tool()
def optional(ours: bool) -> Optional[dict[str, Any]]:
    return result(ours)


@server.tool()
def optional_none() -> Optional[dict[str, Any]]:
    return None


@server.tool()
def as_list() -> list[dict[str, Any]]:
    return [OTHER_RESULT, CONTRACT_RESULT]


@server.tool()
def list_of_text() -> list[str]:
    return ["7", "b"]


@server.tool()
def bare_dict(ours: bool) -> dict:
    return result(ours)


@server.tool()
def typed_dict(ours: bool) -> dict[str, Any]:
    return result(ours)


@server.tool()
def model(ours: bool) -> Answer:
    return Answer(**result(ours))


@server.tool()
def text(ours: bool) -> str:
    return json.dumps(result(ours))


@server.tool()
def plain_text() -> str:
    return "All is well."


@server.tool()
def number() -> int:
    return 42


@server.tool()
def untyped(ours: bool):
    return result(ours)


@server.tool()
def untyped_model(ours: bool):
    return Answer(**result(ours))


@server.tool()
def untyped_list():
    return [OTHER_RESULT, {"n": 1}]


@server.tool()
def untyped_text():
    return "All is well."


@server.tool()
def untyped_none():
    return None


@server.tool()
def deep(levels: int) -> dict[str, Any]:
    output: list = []
    for _ in range(levels - 1):
        output = [output]
    return {"status": "completed", "output": output}


@server.tool()
def greet(name: str) -> str:
    """Returns a greeting."""
    return f"Hello, {name}!"


@server.tool()
def pay(invoice_id: str, amount: float, ctx: Context) -> dict[str, Any]:
    """Pays an invoice. A tool that was not written for the contract."""
    meta = ctx.request_context.meta
    # A model in version 1 of the SDK, a dictionary in version 2.
    meta = dict(meta) if isinstance(meta, dict) else meta.model_dump()
    return {"invoice": invoice_id, "amount": amount, "meta": {name: meta[name] for name in meta if "/" in name}}


@server.tool()
def fail() -> str:
    """Raises an error."""
    raise ValueError("the books are closed")


# Log messages about ended sessions are not relevant for the tests.
logging.disable()
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error")).run(sockets=[listener])
