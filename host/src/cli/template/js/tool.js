// A tool: each `tool({…}, function)` is one. Its description is what the model reads.
import { InvalidInput, tool, tools } from "./tool-sdk.js";

// The host calls it.
export { tools };

export const run = tool(
  {
    name: "my_tool",
    description: "Writes a text in capital letters.",
    input: {
      type: "object",
      properties: { text: { type: "string", description: "The text to work on." } },
      required: ["text"],
      additionalProperties: false,
    },
    output: {
      type: "object",
      properties: { text: { type: "string", description: "The text, in capital letters." } },
      required: ["text"],
    },
  },
  ({ text }) => {
    if (text === "") {
      throw new InvalidInput("the text is empty; give one");
    }
    return { text: text.toUpperCase() };
  },
);
