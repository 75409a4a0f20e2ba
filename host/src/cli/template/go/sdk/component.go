//go:build wasm

package sdk

import "unsafe"

// The contract, wit/tool.wit, as the component model lays it out in memory. An address is a number of 32 bits here.

type witString struct{ at, length uint32 }

type witDefinition struct {
	name, description, input witString
	hasOutput                uint32
	output                   witString
}

type witList struct{ at, length uint32 }

type witResult struct {
	isError uint32
	// The output's address and length; or the kind, and the message's address and length.
	parts [3]uint32
}

type witContext struct {
	callID, idempotencyKey witString
	attempt                uint32
	deadlineMs             uint64
}

// What the host reads or writes has to stay where it is, until the instance is dropped.
var kept []any

func address[T any](it *T) uint32 {
	kept = append(kept, it)
	return uint32(uintptr(unsafe.Pointer(it)))
}

func witStringOf(text string) witString {
	kept = append(kept, text)
	return witString{uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))), uint32(len(text))}
}

func textAt(at *byte, length uint32) string {
	return string(unsafe.Slice(at, length))
}

func (s witString) text() string {
	return textAt((*byte)(unsafe.Pointer(uintptr(s.at))), s.length)
}

//go:wasmexport cabi_realloc
func realloc(old *byte, oldSize, align, size uint32) *byte {
	if size == 0 {
		return (*byte)(unsafe.Pointer(uintptr(align)))
	}
	// Whole words, so that it is aligned for whatever comes.
	memory := make([]uint64, (size+7)/8)
	kept = append(kept, memory)
	bytes := (*byte)(unsafe.Pointer(&memory[0]))
	if oldSize > 0 {
		copy(unsafe.Slice(bytes, size), unsafe.Slice(old, oldSize))
	}
	return bytes
}

//go:wasmexport host:tool/tools@0.1.0#list-tools
func listTools() uint32 {
	all := make([]witDefinition, len(tools)+1)
	for i, tool := range tools {
		name, description := witStringOf(tool.name), witStringOf(tool.description)
		all[i] = witDefinition{name, description, witStringOf(tool.input), 1, witStringOf(tool.output)}
	}
	return address(&witList{address(&all[0]), uint32(len(tools))})
}

//go:wasmexport host:tool/tools@0.1.0#call
func call(name *byte, nameLength uint32, input *byte, inputLength uint32) uint32 {
	output, failure := called(textAt(name, nameLength), []byte(textAt(input, inputLength)))
	if failure != nil {
		message := witStringOf(failure.Message)
		return address(&witResult{1, [3]uint32{uint32(failure.Kind), message.at, message.length}})
	}
	text := witStringOf(string(output))
	return address(&witResult{0, [3]uint32{text.at, text.length, 0}})
}

//go:wasmimport host:tool/log@0.1.0 log
func witLog(level uint32, at unsafe.Pointer, length uint32)

//go:wasmimport host:tool/context@0.1.0 current
func witCurrent(context unsafe.Pointer)

// A Level says how much a line of the log matters.
type Level uint32

// The levels.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Log writes a line for the person who runs the agent. The model does not see it.
func Log(level Level, message string) {
	witLog(uint32(level), unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
}

// Context is what a tool knows of the call that it serves.
type Context struct {
	// CallID names the call within its run, such as `tool(3,1)`.
	CallID string
	// IdempotencyKey is the same for every attempt of this call. Pass it on to services that take one.
	IdempotencyKey string
	// Attempt is 1 for the first attempt.
	Attempt uint32
	// DeadlineMs is when the host stops the call, in milliseconds since 1970.
	DeadlineMs uint64
}

// Current tells of the call that is served.
func Current() Context {
	it := new(witContext)
	witCurrent(unsafe.Pointer(it))
	return Context{it.callID.text(), it.idempotencyKey.text(), it.attempt, it.deadlineMs}
}
