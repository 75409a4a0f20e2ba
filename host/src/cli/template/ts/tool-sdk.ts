// What a tool in TypeScript is written with. `host new` wrote this file; it is yours to change.
//
// Each call has an instance of its own, which is dropped after the call.

/** The input is not what the tool takes. The model reads the message, and is expected to correct the input. */
export class InvalidInput extends Error {}

/** It failed for a reason that may pass. Trying again may help. */
export class Transient extends Error {}

/** It failed, and trying again will not help. Any other error says the same. */
export class Failed extends Error {}

/** A JSON Schema, as far as its types are known here; other keywords may stand in it, too. */
export type Schema = { readonly type?: string; readonly [keyword: string]: unknown };

/** The type of what fits a JSON Schema. What is not known of it is `any`. */
export type Fits<S> = S extends { readonly enum: readonly (infer Value)[] }
  ? Value
  : S extends { readonly type: "string" }
    ? string
    : S extends { readonly type: "number" | "integer" }
      ? number
      : S extends { readonly type: "boolean" }
        ? boolean
        : S extends { readonly type: "null" }
          ? null
          : S extends { readonly type: "array"; readonly items: infer Items }
            ? Fits<Items>[]
            : S extends { readonly type: "object"; readonly properties: infer Members }
              ? FitsObject<Members, S extends { readonly required: readonly (infer Name)[] } ? Name : never>
              : any;

type FitsObject<Members, Required> = {
  [Name in keyof Members as Name extends Required ? Name : never]: Fits<Members[Name]>;
} & {
  [Name in keyof Members as Name extends Required ? never : Name]?: Fits<Members[Name]>;
};

/** What a model is told of a tool. */
export interface Definition<Input, Output> {
  /** 1 to 64 characters of A-Z a-z 0-9 _ - */
  name: string;
  /** What the tool does, when to use it and what it returns. */
  description: string;
  /** The schema of its input, which is an object. */
  input: Input;
  /** The schema of its output, if it promises one. */
  output?: Output;
}

type Kept = Definition<Schema, Schema> & { call: (input: any) => unknown };

const all = new Map<string, Kept>();

/** Makes a tool of a function, and gives the function back. The schemas say the types of its parameter and its result. */
export function tool<const Input extends Schema, const Output extends Schema = Schema>(
  definition: Definition<Input, Output>,
  call: (input: Fits<Input>) => Fits<Output>,
): (input: Fits<Input>) => Fits<Output> {
  all.set(definition.name, { ...definition, call });
  return call;
}

/** A failed call, as the host reads it. */
type Failure = { tag: "invalid-input" | "transient" | "failed"; val: string };

function failure(error: unknown): Failure {
  if (error instanceof InvalidInput) return { tag: "invalid-input", val: error.message };
  if (error instanceof Transient) return { tag: "transient", val: error.message };
  return { tag: "failed", val: error instanceof Failed ? error.message : String(error) };
}

/** What the host calls: export it. */
export const tools = {
  listTools() {
    const text = (schema?: Schema) => (schema === undefined ? undefined : JSON.stringify(schema));
    return [...all.values()].map(({ name, description, input, output }) => ({
      name,
      description,
      inputSchema: text(input),
      outputSchema: text(output),
    }));
  },

  call(name: string, input: string): string {
    const found = all.get(name);
    if (found === undefined) {
      throw { tag: "invalid-input", val: `there is no tool ${name}` } satisfies Failure;
    }
    try {
      return JSON.stringify(found.call(JSON.parse(input))) ?? "null";
    } catch (error) {
      // Anything else that is thrown would end the instance, and the model would not read why.
      throw failure(error);
    }
  },
};
