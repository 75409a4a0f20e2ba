"""An agent with Pydantic AI. The line that is ours says `HOST_MCP_URL`."""

import asyncio
import os
import sys

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset


async def main(prompt: str) -> None:
    tools = MCPToolset(os.environ["HOST_MCP_URL"])
    agent = Agent("openai:gpt-5-mini", toolsets=[tools])
    async with agent:
        print((await agent.run(prompt)).output)


asyncio.run(main(sys.argv[1]))
