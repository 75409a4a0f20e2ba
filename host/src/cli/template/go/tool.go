// A tool: each function that is registered, at the end, is one. Its description is what the model reads.
package main

import (
	"strings"

	"tool.example/my-tool/sdk"
)

// Input is what the tool is given.
type Input struct {
	Text string `json:"text" doc:"The text to work on."`
}

// Output is what it gives.
type Output struct {
	Text string `json:"text" doc:"The text, in capital letters."`
}

func run(input Input) (Output, error) {
	if input.Text == "" {
		return Output{}, sdk.InvalidInput("the text is empty; give one")
	}
	return Output{Text: strings.ToUpper(input.Text)}, nil
}

func init() {
	sdk.Tool("my_tool", "Writes a text in capital letters.", run)
}

func main() {}
