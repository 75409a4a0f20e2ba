"""What the official client in Python sees of an agent's tools: at an address, or of the command that it starts."""

import asyncio
import json
import sys

from mcp import StdioServerParameters
from mcp.client.client import Client


async def main(where: list[str], mode: str) -> None:
    server = where[0] if where[0].startswith("http") else StdioServerParameters(command=where[0], args=where[1:])
    async with Client(server, mode=mode) as client:
        tools = (await client.list_tools()).tools
        cities = ["New York", "San Francisco", "Atlantis"]
        results = await asyncio.gather(*(client.call_tool("get_weather", {"city": city}) for city in cities))
        unfit = await client.call_tool("get_weather", {"city": 1})
        try:
            await client.call_tool("no_tool", {})
            unknown = None
        except Exception as error:  # Which class it is, is the client's to say.
            unknown = str(error)
        seen = {
            "tools": [tool.name for tool in tools],
            "reads_only": tools[0].annotations.read_only_hint,
            "conditions": [(result.structured_content or {}).get("conditions") for result in results],
            "failed": [bool(result.is_error) for result in [*results, unfit]],
            "unknown": unknown,
        }
        print(json.dumps(seen))


asyncio.run(main(sys.argv[2:], sys.argv[1]))
