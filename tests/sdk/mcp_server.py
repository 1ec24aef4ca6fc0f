"""A server by MCP's own Python SDK, of whichever version is installed. Its first line of output is the port that it listens on.

It ends with its standard input.
"""

import os
import socket
import sys
import threading
from typing import Any

import uvicorn

try:
    from mcp.server import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server

server = Server("reference")


@server.tool()
def handle_event(session: dict, event: dict, idempotencyKey: str) -> dict[str, Any]:
    """Answers as the contract wants."""
    task = {"id": "t-1", "title": "Look at it", "status": "running"}
    return {"status": "completed", "message": f"{event['type']} of {session['id']} under {idempotencyKey}", "tasks": [task]}


@server.tool()
def greet(name: str) -> str:
    """Answers as any server does."""
    return f"Hello, {name}!"


@server.tool()
def fail() -> str:
    """Does not answer."""
    raise ValueError("the books are closed")


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="error")).run(sockets=[listener])
