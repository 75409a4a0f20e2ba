// What a tool in JavaScript is written with. `host new` wrote this file; it is yours to change.
//
// Each call has an instance of its own, which is dropped after the call.

/** The input is not what the tool takes. The model reads the message, and is expected to correct the input. */
export class InvalidInput extends Error {}

/** It failed for a reason that may pass. Trying again may help. */
export class Transient extends Error {}

/** It failed, and trying again will not help. Any other error says the same. */
export class Failed extends Error {}

const all = new Map();

/**
 * Makes a tool of a function, and gives the function back.
 *
 * The description is written for the model: what the tool does, when to use it and what it returns. `input` and
 * `output` are JSON Schemas; that of the input is of an object, and `output` may be left out.
 */
export function tool({ name, description, input, output }, call) {
  all.set(name, { name, description, input, output, call });
  return call;
}

function failure(error) {
  const tag =
    error instanceof InvalidInput ? "invalid-input" : error instanceof Transient ? "transient" : "failed";
  const known = error instanceof InvalidInput || error instanceof Transient || error instanceof Failed;
  return { tag, val: known ? error.message : String(error) };
}

/** What the host calls: export it. */
export const tools = {
  listTools() {
    const text = (schema) => (schema === undefined ? undefined : JSON.stringify(schema));
    return [...all.values()].map(({ name, description, input, output }) => ({
      name,
      description,
      inputSchema: text(input),
      outputSchema: text(output),
    }));
  },

  call(name, input) {
    const found = all.get(name);
    if (found === undefined) {
      throw { tag: "invalid-input", val: `there is no tool ${name}` };
    }
    try {
      return JSON.stringify(found.call(JSON.parse(input))) ?? "null";
    } catch (error) {
      // Anything else that is thrown would end the instance, and the model would not read why.
      throw failure(error);
    }
  },
};
