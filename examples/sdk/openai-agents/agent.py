"""An agent with OpenAI's Agents SDK. The line that is ours says `HOST_MCP_URL`."""

import asyncio
import os
import sys

from agents import Agent, Runner
from agents.mcp import MCPServerStreamableHttp


async def main(prompt: str) -> None:
    async with MCPServerStreamableHttp(
        params={"url": os.environ["HOST_MCP_URL"]}, client_session_timeout_seconds=300
    ) as tools:
        agent = Agent(name="Agent", model="gpt-5-mini", mcp_servers=[tools])
        print((await Runner.run(agent, prompt)).final_output)


asyncio.run(main(sys.argv[1]))
