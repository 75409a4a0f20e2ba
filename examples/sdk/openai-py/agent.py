"""An agent with OpenAI's SDK and the SDK of MCP. The line that is ours says `HOST_MCP_URL`."""

import asyncio
import json
import os
import sys

from mcp.client.client import Client
from openai import AsyncOpenAI


async def main(prompt: str) -> None:
    async with Client(os.environ["HOST_MCP_URL"]) as mcp:
        tools = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            }
            for tool in (await mcp.list_tools()).tools
        ]

        async def call(call) -> dict:
            result = await mcp.call_tool(call.function.name, json.loads(call.function.arguments))
            return {"role": "tool", "tool_call_id": call.id, "content": result.content[0].text}

        openai = AsyncOpenAI()
        messages = [{"role": "user", "content": prompt}]
        while True:
            completion = await openai.chat.completions.create(model="gpt-5-mini", messages=messages, tools=tools)
            message = completion.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                print(message.content)
                return
            messages += await asyncio.gather(*map(call, message.tool_calls))


asyncio.run(main(sys.argv[1]))
