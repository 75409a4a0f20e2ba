// One agent of Vercel's AI SDK, made durable by Restate and by host: the time of a run, and of its recovery after the agent's
// process was killed when the first result of a tool was there. See docs/BENCHMARKS.md.
//
//   npm ci && node compare.mjs ../../../target/release/host
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const [host, roundsText] = process.argv.slice(2);
const rounds = Number(roundsText ?? 5);
const MODEL_MS = 300;
const TOOL_MS = 200;
let checked = () => {};
const seen = { model: 0, check: 0 };

// The provider and the site that tools ask. Asked to be serial, the model makes one call a turn.
const site = createServer(async (request, response) => {
  let text = '';
  for await (const piece of request) text += piece;
  const json = (value) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
  };
  if (request.url.startsWith('/check/')) {
    seen.check += 1;
    await sleep(TOOL_MS);
    json({ checked: request.url });
    checked();
    return;
  }
  seen.model += 1;
  await sleep(MODEL_MS);
  const results = JSON.parse(text).input.filter(({ type }) => type === 'function_call_output').length;
  const serial = request.url.startsWith('/serial');
  const left = [1, 2, 3].slice(results);
  const call = (n) => ({
    type: 'function_call', id: `fc_${n}`, call_id: `call_${n}`, status: 'completed',
    name: serial ? 'check' : 'fetch',
    arguments: JSON.stringify(serial ? { n } : { url: `${address}/check/${n}` }),
  });
  const answer = {
    type: 'message', id: 'msg_1', status: 'completed', role: 'assistant',
    content: [{ type: 'output_text', text: 'all three are checked', annotations: [] }],
  };
  json({
    id: 'resp_1', object: 'response', created_at: 1, status: 'completed', error: null, incomplete_details: null,
    instructions: null, metadata: {}, model: 'gpt-5-mini', parallel_tool_calls: true, temperature: 1, tool_choice: 'auto',
    tools: [], top_p: 1, output: left.length === 0 ? [answer] : (serial ? left.slice(0, 1) : left).map(call),
    usage: {
      input_tokens: 1, input_tokens_details: { cached_tokens: 0 }, output_tokens: 1,
      output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 2,
    },
  });
});
site.listen(0, '127.0.0.1');
await once(site, 'listening');
const address = `http://127.0.0.1:${site.address().port}`;
const directory = mkdtempSync(join(tmpdir(), 'beside-'));
const children = [];
const start = (command, args, env) => {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  child.stdout.resume();
  return child;
};
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
const says = (child, text) =>
  new Promise((resolve) => {
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
      const line = said.split('\n').find((line) => line.includes(text));
      if (line) resolve(line);
    });
  });
const post = async (url, body) => {
  const answer = await fetch(url, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${url}: ${text}`);
  return JSON.parse(text);
};
const until = async (done) => {
  for (;;) {
    try {
      if (await done()) return;
    } catch {}
    await sleep(50);
  }
};

// Restate: its server, and the agent as a service of it.
start('node_modules/.bin/restate-server', ['--base-dir', join(directory, 'restate')], { RESTATE_LOG_FILTER: 'error' }).stderr.resume();
const serve = () => {
  const child = start('node', ['service.mjs'], { SITE: address, PORT: '19081' });
  child.stderr.resume();
  return child;
};
let service = serve();
await until(async () => (await fetch('http://127.0.0.1:9070/health')).ok);
await until(() => post('http://127.0.0.1:9070/deployments', { uri: 'http://127.0.0.1:19081' }));
const byRestate = async (kill) => {
  const answer = post('http://127.0.0.1:8080/Agent/run', { prompt: 'Check all three.' });
  let killed = 0;
  if (kill) {
    await new Promise((resolve) => (checked = resolve));
    checked = () => {};
    await sleep(50);
    service.kill('SIGKILL');
    killed = performance.now();
    service = serve();
  }
  if ((await answer) !== 'all three are checked') throw new Error('another answer');
  return killed;
};

// host: its server, and the agent as a program of a run.
writeFileSync(join(directory, 'agent.toml'), `version = 1
[agent]
name = "agent"
[model]
provider = "openai"
name = "gpt-5-mini"
base_url = "${address}/parallel/v1"
[tools.fetch]
source = "${join(import.meta.dirname, '../../../guest-tools/fetch')}"
[[tools.fetch.permissions.network]]
host = "${address}"
methods = ["GET"]
allow_private = true
[gateway]
`);
const server = start(host, ['serve', directory, '--listen', '127.0.0.1:0'], {
  HOST_STATE: join(directory, 'state'), HOST_TRUST_BUILD: '1',
});
const url = (await says(server, 'serving ')).split(' ').at(-1);
const program = async (run) => {
  const { path, token } = await post(`${url}/runs/${run}/starts`, {});
  return start('node', ['agent.mjs', 'Check all three.'], {
    OPENAI_BASE_URL: `${url}${path}/v1`, OPENAI_API_KEY: token, HOST_MCP_URL: `${url}${path}/mcp?key=${token}`,
  });
};
const byHost = async (kill) => {
  const { run } = await post(`${url}/runs`, { agent: 'agent' });
  let child = await program(run);
  let killed = 0;
  if (kill) {
    await new Promise((resolve) => (checked = resolve));
    checked = () => {};
    await sleep(50);
    child.kill('SIGKILL');
    killed = performance.now();
    child = await program(run);
  }
  child.stderr.resume();
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`the program ended with ${code}`);
  await post(`${url}/runs/${run}/end`, {});
  return killed;
};

const median = (times) => Math.round(times.sort((a, b) => a - b)[times.length >> 1]);
for (const [name, run] of [['Restate', byRestate], ['host', byHost]]) await run(false).catch((error) => { throw new Error(`${name}: ${error.message}`); });
for (const kill of [false, true]) {
  const times = { Restate: [], host: [] };
  const asked = { Restate: [], host: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of [['Restate', byRestate], ['host', byHost]]) {
      Object.assign(seen, { model: 0, check: 0 });
      const began = performance.now();
      const killed = await run(kill);
      times[name].push(performance.now() - (killed || began));
      asked[name].push(`${seen.model} model requests, ${seen.check} calls`);
    }
  }
  for (const name of ['Restate', 'host']) {
    console.log(`${kill ? 'from the kill to the answer' : 'a run'}, ${name}: ${median(times[name])} ms; ${asked[name][0]}`);
  }
}
process.exit(0);
