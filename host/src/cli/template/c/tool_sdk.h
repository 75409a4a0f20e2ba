/*
 * What a tool in C is written with. `host new` wrote this file; it is yours to change.
 *
 * Each call has an instance of its own, which is dropped after the call. So nothing has to be freed.
 */
#ifndef TOOL_SDK_H
#define TOOL_SDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a call gave. */
typedef enum {
    /* The input is not what the tool takes. The model is expected to correct it. */
    TOOL_INVALID_INPUT,
    /* It failed for a reason that may pass. Trying again may help. */
    TOOL_TRANSIENT,
    /* It failed, and trying again will not help. */
    TOOL_FAILED,
    /* An output. */
    TOOL_OUTPUT,
} tool_kind;

typedef struct {
    tool_kind kind;
    /* JSON if it is an output. Otherwise a message that the model reads: it says what to do differently. */
    const char *text;
} tool_result;

typedef struct {
    /* 1 to 64 characters of A-Z a-z 0-9 _ - */
    const char *name;
    /* What the tool does, when to use it and what it returns, for the model. */
    const char *description;
    /* JSON Schemas of the input, which is an object, and of the output. `output` may be NULL. */
    const char *input;
    const char *output;
    /* Its input is a JSON object that fits the schema: the host looks at that first. */
    tool_result (*call)(const char *input);
} tool;

/* The tools of this component. The last entry is {0}. */
extern const tool tools[];

/* A member of a JSON object. A member that is not there is NULL, 0 or false, and so is one of another type. */
char *tool_string(const char *object, const char *key);
double tool_number(const char *object, const char *key);
bool tool_bool(const char *object, const char *key);
/* The same as JSON text, whatever its type is. */
char *tool_member(const char *object, const char *key);

/* A text as a JSON string, with its quotes. */
char *tool_quoted(const char *text);

/* Results, written as printf does it. */
__attribute__((format(printf, 1, 2))) tool_result tool_output(const char *format, ...);
__attribute__((format(printf, 2, 3))) tool_result tool_error(tool_kind kind, const char *format, ...);

typedef enum { TOOL_LOG_TRACE, TOOL_LOG_DEBUG, TOOL_LOG_INFO, TOOL_LOG_WARN, TOOL_LOG_ERROR } tool_level;

/* Writes a line for the person who runs the agent. The model does not see it. */
void tool_log(tool_level level, const char *message);

/* What a tool knows of the call that it serves. */
typedef struct {
    /* Names the call within its run, such as `tool(3,1)`. */
    const char *call_id;
    /* The same for every attempt of this call. Pass it on to services that take one. */
    const char *idempotency_key;
    /* 1 for the first attempt. */
    uint32_t attempt;
    /* When the host stops the call, in milliseconds since 1970. */
    uint64_t deadline_ms;
} tool_context;

tool_context tool_current(void);

#endif
