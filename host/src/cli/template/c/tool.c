/* A tool: each entry of `tools`, at the end, is one. Its description is what the model reads. */
#include "tool_sdk.h"

/* Writes a text in capital letters. */
static tool_result run(const char *input)
{
    char *text = tool_string(input, "text");
    if (text == NULL || *text == '\0') {
        return tool_error(TOOL_INVALID_INPUT, "the text is empty; give one");
    }
    for (char *letter = text; *letter != '\0'; letter++) {
        if (*letter >= 'a' && *letter <= 'z') {
            *letter = (char)(*letter - 'a' + 'A');
        }
    }
    return tool_output("{\"text\":%s}", tool_quoted(text));
}

const tool tools[] = {
    {
        .name = "my_tool",
        .description = "Writes a text in capital letters. Only a to z are changed.",
        .input = "{\"type\":\"object\",\"required\":[\"text\"],\"additionalProperties\":false,"
                 "\"properties\":{\"text\":{\"type\":\"string\",\"description\":\"The text to work on.\"}}}",
        .output = "{\"type\":\"object\",\"required\":[\"text\"],"
                  "\"properties\":{\"text\":{\"type\":\"string\",\"description\":\"The text, in capital letters.\"}}}",
        .call = run,
    },
    {0},
};
