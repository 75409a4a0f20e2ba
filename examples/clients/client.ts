// Runs an agent of a `host serve`, asks about what it wants to do, and prints its answer.
//
//     HOST_TOKEN=… node client.ts http://127.0.0.1:8080 weather "How is the weather in Oslo?"
//
// With --yes every call is approved unasked. Node 22.18 and later run it as it is; an earlier 22 with
// --experimental-strip-types.

import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline/promises";

type Ask = { name: string; input?: unknown };
type Waits = {
  slot: string;
  wants: "approval" | "answer" | "settlement" | { moment: number };
  request: { approval?: Ask; tool?: Ask };
};
type Run = { run: string; state: string; answer?: string; reason?: string };
type Event = {
  seq?: number;
  slot: string;
  kind: { started?: object; finished?: object; stands?: { state: string; waiting?: Waits[] } };
};

// How long a server may be away, as it is while it restarts.
const AWAY_MAX_MS = 30_000;

const words = process.argv.slice(2).filter((word) => word !== "--yes");
const approvesAll = process.argv.includes("--yes");
const [url, agent, prompt] = words;
if (!url || !agent || words.length > 3) {
  console.error("usage: node client.ts URL AGENT [PROMPT] [--yes]");
  process.exit(2);
}
const token = process.env.HOST_TOKEN;
const own: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};

// Begins a run. The key lets the request be sent again: it is one run, however often it arrives.
const key = { "idempotency-key": randomUUID() };
const begun = await untilThere(() => post(`/agents/${agent}/runs`, prompt ? { prompt } : {}, key));
const { run } = (await begun.json()) as Run;
console.error(`run ${run}`);
for await (const waiting of follow(run)) {
  await decide(run, waiting);
}
const shown = await show(run);
if (shown.answer === undefined) {
  fail(`${shown.state}: ${shown.reason ?? ""}`);
}
console.log(shown.answer);

// Gives what the run waits for, each time that it does, until it has ended. Where the connection breaks, the events go on
// after the last one that came.
async function* follow(run: string): AsyncGenerator<Waits[]> {
  let last = 0;
  let hasEnded = false;
  while (!hasEnded) {
    for await (const event of stream(run, last)) {
      last = event.seq ?? last;
      // The end of the slot `run` is the end of the run.
      hasEnded = event.slot === "run" && event.kind.finished !== undefined;
      if (event.kind.started && event.slot !== "run") {
        console.error(`  ${event.slot} begins`);
      }
      if (event.kind.stands?.state === "suspended") {
        yield event.kind.stands.waiting ?? [];
      }
    }
  }
}

async function* stream(run: string, last: number): AsyncGenerator<Event> {
  const headers = { ...own, accept: "text/event-stream", "last-event-id": String(last) };
  const response = await untilThere(() => ask(`/runs/${run}/events`, { headers }));
  let text = "";
  try {
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      const lines = (text + piece).split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        // An event is one line of data here; its name and its number are in the data, too.
        if (line.startsWith("data: ")) {
          yield JSON.parse(line.slice("data: ".length)) as Event;
        }
      }
    }
  } catch (error) {
    if (!isOfConnection(error)) {
      throw error;
    }
  }
}

async function decide(run: string, waiting: Waits[]) {
  for (const { slot, wants, request } of waiting) {
    const ask = request.approval ?? request.tool;
    const call = `${ask?.name} ${JSON.stringify(ask?.input)}`;
    if (wants === "approval") {
      const yes = approvesAll || (await read(`${call}: may it be called? [y/N] `)).toLowerCase().startsWith("y");
      await post(`/runs/${run}/${yes ? "approve" : "deny"}`, { slot });
    } else if (wants === "answer") {
      await post(`/runs/${run}/answer`, { slot, text: await read(`${call}: `) });
    } else if (wants === "settlement") {
      fail(`${call}: it is not known whether it took effect; decide with \`host resume ${run} --settle\``);
    }
    // A moment comes by itself.
  }
}

async function show(run: string): Promise<Run> {
  return (await untilThere(() => ask(`/runs/${run}`, { headers: own }))).json() as Promise<Run>;
}

function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  const json = { "content-type": "application/json" };
  return ask(path, { method: "POST", headers: { ...own, ...json, ...headers }, body: JSON.stringify(body) });
}

// What is wrong is told as RFC 9457 has it: what, where, and what to do.
async function ask(path: string, request: RequestInit): Promise<Response> {
  const response = await fetch(new URL(path, url), request);
  if (!response.ok) {
    const problem = (await response.json()) as { detail: string; where?: string; help?: string };
    fail([problem.detail, problem.where, problem.help].filter(Boolean).join("\n  "));
  }
  return response;
}

// Sends a request again while nobody answers.
async function untilThere<T>(request: () => Promise<T>): Promise<T> {
  const begun = Date.now();
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!isOfConnection(error) || Date.now() - begun > AWAY_MAX_MS) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

// `fetch` tells of a broken connection by a TypeError.
function isOfConnection(error: unknown): boolean {
  return error instanceof TypeError;
}

async function read(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const line = await terminal.question(question);
  terminal.close();
  return line;
}

function fail(text: string): never {
  console.error(text);
  process.exit(1);
}
