// An agent with OpenAI's SDK and the SDK of MCP. The line that is ours says `HOST_MCP_URL`.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import OpenAI from 'openai';

const mcp = new Client({ name: 'example', version: '1.0.0' });
await mcp.connect(new StreamableHTTPClientTransport(new URL(process.env.HOST_MCP_URL)));
const { tools } = await mcp.listTools();

const openai = new OpenAI();
const messages = [{ role: 'user', content: process.argv[2] }];
for (;;) {
  const completion = await openai.chat.completions.create({
    model: 'gpt-5-mini',
    messages,
    tools: tools.map(({ name, description, inputSchema }) => ({
      type: 'function',
      function: { name, description, parameters: inputSchema },
    })),
  });
  const { message } = completion.choices[0];
  messages.push(message);
  if (!message.tool_calls?.length) {
    console.log(message.content);
    break;
  }
  messages.push(
    ...(await Promise.all(
      message.tool_calls.map(async ({ id, function: { name, arguments: input } }) => {
        const result = await mcp.callTool({ name, arguments: JSON.parse(input) });
        return { role: 'tool', tool_call_id: id, content: result.content[0].text };
      }),
    )),
  );
}
await mcp.close();
