package main

import (
	"strings"
	"testing"
)

func TestItWritesCapitalLetters(t *testing.T) {
	output, err := run(Input{Text: "hello"})
	if err != nil || output.Text != "HELLO" {
		t.Fatal(output, err)
	}
}

func TestItWantsAText(t *testing.T) {
	_, err := run(Input{})
	if err == nil || !strings.Contains(err.Error(), "empty") {
		t.Fatal(err)
	}
}
