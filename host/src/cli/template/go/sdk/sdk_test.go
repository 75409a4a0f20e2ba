package sdk

import (
	"testing"
	"time"
)

type inner struct {
	At   time.Time `json:"at"`
	Many []int     `json:"many,omitempty"`
}

type outer struct {
	inner
	Name  string            `json:"name" doc:"A name."`
	Bytes []byte            `json:"bytes"`
	Maybe *bool             `json:"maybe"`
	Map   map[string]uint32 `json:"map"`
	local int
}

func TestTypesBecomeSchemas(t *testing.T) {
	_ = outer{local: 0}
	const input = `{"properties":{"at":{},"bytes":{"contentEncoding":"base64","type":"string"},` +
		`"many":{"items":{"type":"integer"},"type":"array"},"map":{"additionalProperties":{"minimum":0,"type":"integer"},"type":"object"},` +
		`"maybe":{"type":"boolean"},"name":{"description":"A name.","type":"string"}},` +
		`"required":["at","name","bytes","map"],"type":"object"}`
	if given := schemaOf[outer](described{}); given != input {
		t.Fatal(given)
	}
	const output = `{"items":{"type":"string"},"type":["array","null"]}`
	if given := schemaOf[[]string](described{isOutput: true}); given != output {
		t.Fatal(given)
	}
}

func TestATypeThatContainsItselfIsRefused(t *testing.T) {
	type list struct{ Next *list }
	defer func() {
		if recover() == nil {
			t.Fatal("it was not refused")
		}
	}()
	schemaOf[list](described{})
}
