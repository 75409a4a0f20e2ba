"""An agent with Google's Agent Development Kit. The line that is ours says `HOST_MCP_URL`."""

import asyncio
import os
import sys

from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams
from google.genai import types


async def main(prompt: str) -> None:
    tools = McpToolset(connection_params=StreamableHTTPConnectionParams(url=os.environ["HOST_MCP_URL"]))
    agent = LlmAgent(name="agent", model="gemini-3-flash", tools=[tools])
    runner = InMemoryRunner(agent=agent, app_name="example")
    session = await runner.session_service.create_session(app_name="example", user_id="user")
    said = types.Content(role="user", parts=[types.Part(text=prompt)])
    async for event in runner.run_async(user_id="user", session_id=session.id, new_message=said):
        if event.is_final_response() and event.content and event.content.parts:
            print(event.content.parts[0].text)
    await tools.close()


asyncio.run(main(sys.argv[1]))
