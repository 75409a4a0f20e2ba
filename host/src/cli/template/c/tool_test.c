/* Runs on this machine, without a sandbox. README.md has the command. */
#include <stdio.h>
#include <string.h>

#include "tool.c"

/* Whether a result is the expected one. */
static int gives(tool_result result, tool_kind kind, const char *text)
{
    if (result.kind == kind && strstr(result.text, text) != NULL) {
        return 1;
    }
    fprintf(stderr, "expected kind %d with %s, got kind %d with %s\n", kind, text, result.kind, result.text);
    return 0;
}

int main(void)
{
    int ok = gives(run("{\"text\":\"he\\u006clo \\\"you\\\"\"}"), TOOL_OUTPUT, "{\"text\":\"HELLO \\\"YOU\\\"\"}");
    ok &= gives(run("{\"text\":\"\"}"), TOOL_INVALID_INPUT, "empty");
    return ok ? 0 : 1;
}
