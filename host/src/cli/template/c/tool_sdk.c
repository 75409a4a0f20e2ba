/* `host new` wrote this file. The first half reads and writes JSON; the second half is what the host calls. */
#include "tool_sdk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocated(size_t bytes)
{
    void *memory = malloc(bytes == 0 ? 1 : bytes);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static char *copied(const char *text, size_t length)
{
    char *copy = allocated(length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static const char *past_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *past_string(const char *at)
{
    for (at++; *at != '\0' && *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
        }
    }
    return *at == '"' ? at + 1 : at;
}

/* The end of a value. The host has seen to it that the text is JSON. */
static const char *past_value(const char *at)
{
    size_t depth = 0;
    do {
        at = past_space(at);
        if (*at == '"') {
            at = past_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (depth > 0 && (*at == '}' || *at == ']')) {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else {
            at += strcspn(at, " \t\r\n,:{}[]\"");
        }
    } while (depth > 0 && *past_space(at) != '\0');
    return at;
}

static uint32_t hex(const char *at)
{
    char digits[5] = {0};
    strncpy(digits, at, 4);
    return (uint32_t)strtoul(digits, NULL, 16);
}

static char *put_code_point(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *to++ = (char)(0xE0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    } else {
        *to++ = (char)(0xF0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
        *to++ = (char)(0x80 | (code & 0x3F));
    }
    return to;
}

/* The text of a JSON string. It ends at a NUL, as texts in C do. */
static char *unquoted(const char *at)
{
    const char *end = past_string(at);
    /* No escape is shorter than what it stands for. */
    char *text = allocated((size_t)(end - at) + 1);
    char *to = text;
    for (at++; at < end && *at != '"'; at++) {
        if (*at != '\\') {
            *to++ = *at;
            continue;
        }
        at++;
        if (*at != 'u') {
            static const char escapes[] = "bfnrt", meant[] = "\b\f\n\r\t";
            const char *found = *at == '\0' ? NULL : strchr(escapes, *at);
            *to++ = found == NULL ? *at : meant[found - escapes];
            continue;
        }
        uint32_t code = hex(at + 1);
        at += 4;
        if (code >= 0xD800 && code < 0xDC00 && at[1] == '\\' && at[2] == 'u') {
            code = 0x10000 + ((code - 0xD800) << 10) + (hex(at + 3) - 0xDC00);
            at += 6;
        }
        to = put_code_point(to, code);
    }
    *to = '\0';
    return text;
}

/* Where the value of a member begins, or NULL. */
static const char *found(const char *object, const char *key)
{
    const char *at = past_space(object);
    if (*at != '{') {
        return NULL;
    }
    at = past_space(at + 1);
    while (*at == '"') {
        char *name = unquoted(at);
        at = past_space(past_string(at));
        at = past_space(*at == ':' ? at + 1 : at);
        if (strcmp(name, key) == 0) {
            return at;
        }
        at = past_space(past_value(at));
        at = past_space(*at == ',' ? at + 1 : at);
    }
    return NULL;
}

char *tool_string(const char *object, const char *key)
{
    const char *at = found(object, key);
    return at != NULL && *at == '"' ? unquoted(at) : NULL;
}

double tool_number(const char *object, const char *key)
{
    const char *at = found(object, key);
    return at != NULL && (*at == '-' || (*at >= '0' && *at <= '9')) ? strtod(at, NULL) : 0;
}

bool tool_bool(const char *object, const char *key)
{
    const char *at = found(object, key);
    return at != NULL && strncmp(at, "true", 4) == 0;
}

char *tool_member(const char *object, const char *key)
{
    const char *at = found(object, key);
    return at == NULL ? NULL : copied(at, (size_t)(past_value(at) - at));
}

char *tool_quoted(const char *text)
{
    char *quoted = allocated(6 * strlen(text) + 3);
    char *to = quoted;
    *to++ = '"';
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = *text;
        } else if (byte < 0x20) {
            to += sprintf(to, "\\u%04x", byte);
        } else {
            *to++ = *text;
        }
    }
    *to++ = '"';
    *to = '\0';
    return quoted;
}

static tool_result written(tool_kind kind, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) {
        abort();
    }
    char *text = allocated((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    return (tool_result){kind, text};
}

tool_result tool_output(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tool_result result = written(TOOL_OUTPUT, format, arguments);
    va_end(arguments);
    return result;
}

tool_result tool_error(tool_kind kind, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tool_result result = written(kind, format, arguments);
    va_end(arguments);
    return result;
}

#ifndef __wasm__

/* On this machine, in a test, lines go to stderr, and there is no call to know of. */
void tool_log(tool_level level, const char *message)
{
    fprintf(stderr, "%d %s\n", level, message);
}

tool_context tool_current(void)
{
    return (tool_context){"tool(0,0)", "0000000000000000000000000000000000000000000000000000000000000000", 1, UINT64_MAX};
}

#else

/* The contract, wit/tool.wit, as the component model lays it out in memory. */

#define IMPORT(interface, name) \
    __attribute__((import_module("host:tool/" interface "@0.1.0"), import_name(name))) extern
#define EXPORT(name) __attribute__((export_name(name)))

typedef struct {
    const char *at;
    size_t length;
} wit_string;

typedef struct {
    wit_string name, description, input;
    uint32_t has_output;
    wit_string output;
} wit_definition;

typedef struct {
    const wit_definition *at;
    size_t length;
} wit_definitions;

typedef struct {
    uint32_t is_error;
    union {
        wit_string output;
        struct {
            uint32_t kind;
            wit_string message;
        } error;
    };
} wit_result;

typedef struct {
    wit_string call_id, idempotency_key;
    uint32_t attempt;
    uint64_t deadline_ms;
} wit_context;

_Static_assert(sizeof(wit_definition) == 36 && sizeof(wit_result) == 16 && sizeof(wit_context) == 32, "the contract");

IMPORT("log", "log") void wit_log(int32_t level, const char *at, size_t length);
IMPORT("context", "current") void wit_current(wit_context *context);

void tool_log(tool_level level, const char *message)
{
    wit_log(level, message, strlen(message));
}

tool_context tool_current(void)
{
    wit_context it;
    wit_current(&it);
    const char *call_id = copied(it.call_id.at, it.call_id.length);
    const char *key = copied(it.idempotency_key.at, it.idempotency_key.length);
    return (tool_context){call_id, key, it.attempt, it.deadline_ms};
}

static wit_string string_of(const char *text)
{
    return (wit_string){text, strlen(text)};
}

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    (void)old_size;
    if (size == 0) {
        return (void *)align;
    }
    void *memory = realloc(old, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

EXPORT("host:tool/tools@0.1.0#list-tools") wit_definitions *wit_list_tools(void)
{
    size_t count = 0;
    while (tools[count].name != NULL) {
        count++;
    }
    wit_definition *all = allocated(count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        const tool *one = &tools[i];
        all[i] = (wit_definition){string_of(one->name), string_of(one->description), string_of(one->input), 0, {"", 0}};
        if (one->output != NULL) {
            all[i].has_output = 1;
            all[i].output = string_of(one->output);
        }
    }
    wit_definitions *list = allocated(sizeof *list);
    *list = (wit_definitions){all, count};
    return list;
}

EXPORT("host:tool/tools@0.1.0#call")
wit_result *wit_call(const char *name, size_t name_length, const char *input, size_t input_length)
{
    tool_result given = {TOOL_INVALID_INPUT, "there is no tool of this name"};
    for (const tool *one = tools; one->name != NULL; one++) {
        if (strlen(one->name) == name_length && memcmp(one->name, name, name_length) == 0) {
            given = one->call(copied(input, input_length));
            break;
        }
    }
    wit_result *result = allocated(sizeof *result);
    result->is_error = given.kind != TOOL_OUTPUT;
    if (result->is_error) {
        result->error.kind = given.kind;
        result->error.message = string_of(given.text);
    } else {
        result->output = string_of(given.text);
    }
    return result;
}

#endif
