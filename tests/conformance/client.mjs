// What the official client in TypeScript sees of an agent's tools: at an address, or of the command that it starts.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [, , , first, ...args] = process.argv;
const transport = first.startsWith('http')
  ? new StreamableHTTPClientTransport(new URL(first))
  : new StdioClientTransport({ command: first, args, env: process.env });
const client = new Client({ name: 'test', version: '1.0.0' });
await client.connect(transport);
const { tools } = await client.listTools();
const call = (city) => client.callTool({ name: 'get_weather', arguments: { city } });
const results = await Promise.all(['New York', 'San Francisco', 'Atlantis'].map(call));
const unfit = await call(1);
const unknown = await client.callTool({ name: 'no_tool', arguments: {} }).then(
  () => null,
  (error) => error.message,
);
console.log(
  JSON.stringify({
    tools: tools.map(({ name }) => name),
    reads_only: tools[0].annotations.readOnlyHint,
    conditions: results.map((result) => result.structuredContent?.conditions ?? null),
    failed: [...results, unfit].map((result) => result.isError === true),
    unknown,
  }),
);
await client.close();
