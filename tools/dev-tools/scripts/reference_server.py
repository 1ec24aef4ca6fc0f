"""Serves openai-chatkit's ChatKitServer with uvicorn at the listening socket on standard input.

The argument configures it, as JSON: {"base_url", "api_key", "model", "instructions"}. The server is
the one that the tests compare the chat with.
"""

import json
import pathlib
import socket
import sys

import agents
import uvicorn
from chatkit.server import StreamingResult
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "scripts"))
import chatkit_reference

agents.set_tracing_disabled(True)
chat = chatkit_reference.Server(json.loads(sys.argv[1]))


async def chatkit(request):
    result = await chat.process(await request.body(), None)
    if isinstance(result, StreamingResult):
        return StreamingResponse(result, media_type="text/event-stream")
    return Response(result.json, media_type="application/json")


app = Starlette(routes=[Route("/chatkit", chatkit, methods=["POST"])])
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[socket.socket(fileno=0)])
