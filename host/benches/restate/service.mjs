// The agent as Restate's documentation of its integration has it: a durable model, and tools as durable steps. Parallel
// tool calls are off, as that documentation asks for.
import { createOpenAI } from '@ai-sdk/openai';
import * as restate from '@restatedev/restate-sdk';
import { durableCalls } from '@restatedev/vercel-ai-middleware';
import { generateText, stepCountIs, tool, wrapLanguageModel } from 'ai';
import { z } from 'zod';

const site = process.env.SITE;
const openai = createOpenAI({ baseURL: `${site}/serial/v1`, apiKey: 'none' });
const agent = restate.service({
  name: 'Agent',
  handlers: {
    run: async (ctx, { prompt }) => {
      const model = wrapLanguageModel({ model: openai('gpt-5-mini'), middleware: durableCalls(ctx) });
      const { text } = await generateText({
        model,
        prompt,
        tools: {
          check: tool({
            description: 'Checks something.',
            inputSchema: z.object({ n: z.number() }),
            execute: ({ n }) => ctx.run(`check ${n}`, async () => (await fetch(`${site}/check/${n}`)).text()),
          }),
        },
        stopWhen: stepCountIs(10),
        providerOptions: { openai: { parallelToolCalls: false } },
      });
      return text;
    },
  },
});
restate.serve({ services: [agent], port: Number(process.env.PORT) });
