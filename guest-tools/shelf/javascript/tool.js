// Runs what a model writes. The instance of the call is the sandbox: it reaches no file, no network and no other call.
import { InvalidInput, tool, tools } from "./tool-sdk.js";

// The host calls it.
export { tools };

// What was printed is for the model to read, and not what was computed.
const LOG_CHARS_MAX = 32 * 1024;

const DEPTH_MAX = 64;

export const run = tool(
  {
    name: "run_javascript",
    description:
      "Runs JavaScript and gives the value of its last expression, as JSON. Use it to compute, to change the shape of " +
      "data, or to check an idea. The variable `input` is what is given beside the code. There is the language itself " +
      "and no more: no files, network, modules, timers or `await`. What console.log prints is given, too. Nothing is " +
      "left of a call for the next one.",
    input: {
      type: "object",
      properties: {
        code: {
          type: "string",
          maxLength: 262144,
          description: "The program, such as `input.prices.map((it) => it * 1.2)`. It has no `return`.",
        },
        input: { description: "Any JSON; the program reads it as `input`." },
      },
      required: ["code"],
      additionalProperties: false,
    },
    output: {
      type: "object",
      properties: {
        value: { description: "The value. A number that JSON does not have, and a BigInt, is a string." },
        log: { type: "array", items: { type: "string" }, description: "What was printed." },
        is_log_cut: { type: "boolean", description: "Whether more was printed." },
      },
      required: ["value", "log", "is_log_cut"],
      additionalProperties: false,
    },
  },
  ({ code, input }) => {
    const printed = new Printed();
    globalThis.input = input;
    globalThis.console = printed.console();
    let value;
    try {
      // In this form eval has the program see what is global, and nothing of this file.
      value = (0, eval)(code);
    } catch (error) {
      throw new InvalidInput(told(error));
    }
    if (typeof value?.then === "function") {
      throw new InvalidInput("the value is a promise, and nothing waits for it: compute without `async` and `await`");
    }
    return { value: plain(value, []), log: printed.lines, is_log_cut: printed.isCut };
  },
);

/** What a program prints. */
class Printed {
  lines = [];
  isCut = false;
  #room = LOG_CHARS_MAX;

  print(values) {
    const line = values.map((it) => (typeof it === "string" ? it : shown(it))).join(" ");
    this.isCut ||= line.length > this.#room;
    if (this.#room > 0) {
      this.lines.push(line.slice(0, this.#room));
      this.#room -= line.length + 1;
    }
  }

  console() {
    const print = (...values) => this.print(values);
    return { log: print, info: print, debug: print, warn: print, error: print };
  }
}

function shown(value) {
  try {
    return JSON.stringify(plain(value, []));
  } catch {
    return String(value);
  }
}

/** A value as JSON has it. `above` are the objects that it stands in. */
function plain(value, above) {
  switch (typeof value) {
    case "undefined":
    case "function":
    case "symbol":
      return above.length === 0 ? null : undefined;
    case "bigint":
      return String(value);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) {
    return null;
  }
  if (above.includes(value) || above.length >= DEPTH_MAX) {
    throw new InvalidInput(`the value stands in itself, or is nested more than ${DEPTH_MAX} deep: give a part of it`);
  }
  const within = [...above, value];
  if (value instanceof Error) {
    return told(value);
  }
  if (typeof value.toJSON === "function") {
    return plain(value.toJSON(), within);
  }
  if (Array.isArray(value) || value instanceof Set || ArrayBuffer.isView(value)) {
    return Array.from(value, (it) => plain(it, within) ?? null);
  }
  const entries = value instanceof Map ? [...value].map(([key, it]) => [String(key), it]) : Object.entries(value);
  const said = entries.map(([key, it]) => [key, plain(it, within)]).filter(([, it]) => it !== undefined);
  return Object.fromEntries(said);
}

/** An error with the lines of the program in which it arose. */
function told(error) {
  if (!(error instanceof Error)) {
    return `the program threw ${shown(error)}`;
  }
  const places = String(error.stack ?? "").split("\n").filter((line) => line.includes("<input>") || line.includes("<eval>"));
  return [`${error.name}: ${error.message}`, ...places.map((line) => line.trimEnd())].join("\n");
}
