// Package sdk is what a tool in Go is written with. `host new` wrote it; it is yours to change.
//
// Each call has an instance of its own, which is dropped after the call.
package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A Kind says why a call gave no output.
type Kind uint8

// The kinds of errors.
const (
	// KindInvalidInput is that of an input which is not what the tool takes. The model is expected to correct it.
	KindInvalidInput Kind = iota
	// KindTransient is that of a reason that may pass. Trying again may help.
	KindTransient
	// KindFailed is that of a call that will fail again.
	KindFailed
)

// An Error is a failed call. The model reads the message: it says what to do differently.
type Error struct {
	Kind    Kind
	Message string
}

func (e *Error) Error() string { return e.Message }

// InvalidInput says that the input is not what the tool takes.
func InvalidInput(format string, values ...any) error {
	return &Error{KindInvalidInput, fmt.Sprintf(format, values...)}
}

// Transient says that the call failed for a reason that may pass.
func Transient(format string, values ...any) error {
	return &Error{KindTransient, fmt.Sprintf(format, values...)}
}

// Failed says that the call failed. Any other error says the same.
func Failed(format string, values ...any) error {
	return &Error{KindFailed, fmt.Sprintf(format, values...)}
}

// A definition is what the host is told of a tool.
type definition struct {
	name, description, input, output string
	call                             func(input []byte) ([]byte, error)
}

var tools []definition

// Tool registers a function as a tool: call it from an init function.
//
// The description is written for the model: what the tool does, when to use it and what it returns. The input is a
// struct. Its fields and those of the output become JSON Schemas: `json:"name"` names a member, `doc:"…"` describes it,
// and a pointer or `omitempty` makes it optional.
func Tool[I, O any](name, description string, function func(I) (O, error)) {
	call := func(text []byte) ([]byte, error) {
		var input I
		if err := json.Unmarshal(text, &input); err != nil {
			return nil, InvalidInput("%v", err)
		}
		output, err := function(input)
		if err != nil {
			return nil, err
		}
		return json.Marshal(output)
	}
	input, output := schemaOf[I](described{}), schemaOf[O](described{isOutput: true})
	tools = append(tools, definition{name, description, input, output, call})
}

// called calls a tool by its name.
func called(name string, input []byte) (output []byte, failure *Error) {
	defer func() {
		// A panic would end the instance, and the model would not read why.
		if reason := recover(); reason != nil {
			output, failure = nil, &Error{KindFailed, fmt.Sprintf("the tool panicked: %v", reason)}
		}
	}()
	for _, tool := range tools {
		if tool.name != name {
			continue
		}
		output, err := tool.call(input)
		if err == nil {
			return output, nil
		}
		var known *Error
		if errors.As(err, &known) {
			return nil, &Error{known.Kind, err.Error()}
		}
		return nil, &Error{KindFailed, err.Error()}
	}
	return nil, &Error{KindInvalidInput, "there is no tool " + name}
}
