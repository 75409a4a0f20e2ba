// The same agent with host: its model and its tools are where the variables of `host exec` say.
import { createMCPClient } from '@ai-sdk/mcp';
import { openai } from '@ai-sdk/openai';
import { generateText, stepCountIs } from 'ai';

const mcp = await createMCPClient({ transport: { type: 'http', url: process.env.HOST_MCP_URL } });
const { text } = await generateText({
  model: openai('gpt-5-mini'),
  tools: await mcp.tools(),
  stopWhen: stepCountIs(10),
  prompt: process.argv[2],
});
console.log(text);
await mcp.close();
