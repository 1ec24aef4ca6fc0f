"""Runs openai-chatkit's ChatKitServer with a store in memory and a model of the Responses API.

The first line of input configures it: {"base_url", "api_key", "model", "instructions"}. The output
begins with a line {"version": ...}. Each other line of input is the body of a request, as a JSON
string, and each line of output its answer: {"stream": text}, {"json": text}, or, for an exception,
{"raised": class} together with the text that was streamed before.

The server does what the package's documentation shows: `respond` runs an agent of the Agents SDK on
the thread's items and yields what `stream_agent_response` makes of the run.
"""

import asyncio
import importlib.metadata
import json
import logging
import sys

import agents
import openai
from chatkit import agents as chatkit_agents
from chatkit import server, store, types
from openai.types.shared import Reasoning


class MemoryStore(store.Store):
    def __init__(self):
        self.threads = {}
        self.items = {}

    async def load_thread(self, thread_id, context):
        if thread_id not in self.threads:
            raise store.NotFoundError(thread_id)
        return self.threads[thread_id].model_copy(deep=True)

    async def save_thread(self, thread, context):
        self.threads[thread.id] = types.ThreadMetadata(**thread.model_dump(exclude={"items"}))
        self.items.setdefault(thread.id, [])

    async def delete_thread(self, thread_id, context):
        self.threads.pop(thread_id, None)
        self.items.pop(thread_id, None)

    async def load_threads(self, limit, after, order, context):
        return page(list(self.threads.values()), limit, after, order)

    async def load_thread_items(self, thread_id, after, limit, order, context):
        if thread_id not in self.threads:
            raise store.NotFoundError(thread_id)
        return page([item.model_copy(deep=True) for item in self.items[thread_id]], limit, after, order)

    async def add_thread_item(self, thread_id, item, context):
        self.items[thread_id].append(item)

    async def save_item(self, thread_id, item, context):
        self.items[thread_id] = [item if other.id == item.id else other for other in self.items[thread_id]]

    async def load_item(self, thread_id, item_id, context):
        for item in self.items[thread_id]:
            if item.id == item_id:
                return item
        raise store.NotFoundError(item_id)

    async def delete_thread_item(self, thread_id, item_id, context):
        self.items[thread_id] = [item for item in self.items[thread_id] if item.id != item_id]

    async def save_attachment(self, attachment, context):
        raise NotImplementedError

    async def load_attachment(self, attachment_id, context):
        raise store.NotFoundError(attachment_id)

    async def delete_attachment(self, attachment_id, context):
        raise NotImplementedError


def page(rows, limit, after, order):
    if order == "desc":
        rows = rows[::-1]
    if after is not None:
        ids = [row.id for row in rows]
        if after not in ids:
            raise store.NotFoundError(after)
        rows = rows[ids.index(after) + 1:]
    has_more = len(rows) > limit
    rows = rows[:limit]
    return types.Page(data=rows, has_more=has_more, after=rows[-1].id if has_more else None)


class Converter(chatkit_agents.ThreadItemConverter):
    async def tag_to_message_content(self, tag):
        return {"type": "input_text", "text": f"@{tag.text}"}


class Server(server.ChatKitServer):
    def __init__(self, settings):
        super().__init__(MemoryStore())
        client = openai.AsyncOpenAI(
            base_url=settings["base_url"], api_key=settings["api_key"], max_retries=0, timeout=10
        )
        self.agent = agents.Agent(
            name="agent",
            instructions=settings["instructions"],
            model=agents.OpenAIResponsesModel(model=settings["model"], openai_client=client),
            model_settings=agents.ModelSettings(store=False, reasoning=Reasoning(effort="low", summary="auto")),
        )

    async def respond(self, thread, input_user_message, context):
        items = await self.store.load_thread_items(thread.id, None, 100, "asc", context)
        agent_context = chatkit_agents.AgentContext(thread=thread, store=self.store, request_context=context)
        model_input = await Converter().to_agent_input(items.data)
        run = agents.Runner.run_streamed(self.agent, model_input, context=agent_context)
        async for event in chatkit_agents.stream_agent_response(agent_context, run):
            yield event


async def answer(chat, body):
    text = ""
    try:
        result = await chat.process(body, None)
        if isinstance(result, server.NonStreamingResult):
            return {"json": result.json.decode()}
        async for frame in result:
            text += frame.decode()
        return {"stream": text}
    except Exception as error:
        return {"raised": type(error).__name__, "stream": text}


async def main():
    logging.disable(logging.CRITICAL)
    agents.set_tracing_disabled(True)
    lines = iter(sys.stdin.readline, "")
    chat = Server(json.loads(next(lines)))
    print(json.dumps({"version": importlib.metadata.version("openai-chatkit")}), flush=True)
    # A blocking read suits a server that handles one request at a time.
    for line in lines:
        print(json.dumps(await answer(chat, json.loads(line))), flush=True)


# The benchmark of the stream imports the server.
if __name__ == "__main__":
    asyncio.run(main())
