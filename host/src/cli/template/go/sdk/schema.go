package sdk

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// How deep types may stand in each other. A type that contains itself has no JSON Schema here.
const depthMax = 16

// A described type is that of an input or of an output: what is nil is null in an output.
type described struct{ isOutput bool }

func schemaOf[T any](d described) string {
	schema, err := json.Marshal(d.schema(reflect.TypeFor[T](), 0))
	if err != nil {
		panic(err)
	}
	return string(schema)
}

func (d described) schema(t reflect.Type, depth int) map[string]any {
	if depth > depthMax {
		panic(fmt.Sprintf("the type %v contains itself, or is nested more than %d deep", t, depthMax))
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return map[string]any{}
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Pointer:
		return d.orNull(d.schema(t.Elem(), depth+1))
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return d.orNull(map[string]any{"type": "string", "contentEncoding": "base64"})
		}
		return d.orNull(map[string]any{"type": "array", "items": d.schema(t.Elem(), depth+1)})
	case reflect.Array:
		return map[string]any{"type": "array", "items": d.schema(t.Elem(), depth+1)}
	case reflect.Map:
		return d.orNull(map[string]any{"type": "object", "additionalProperties": d.schema(t.Elem(), depth+1)})
	case reflect.Struct:
		members, required := map[string]any{}, []string{}
		d.fields(t, depth, members, &required)
		return map[string]any{"type": "object", "properties": members, "required": required}
	case reflect.Interface:
		return map[string]any{}
	default:
		panic(fmt.Sprintf("the type %v cannot be part of a tool's input or output", t))
	}
}

// orNull lets an output be null, too.
func (d described) orNull(schema map[string]any) map[string]any {
	if kind, known := schema["type"].(string); known && d.isOutput {
		schema["type"] = []string{kind, "null"}
	}
	return schema
}

// fields adds the members of a struct, and those of what it embeds.
func (d described) fields(t reflect.Type, depth int, members map[string]any, required *[]string) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" && field.Type.Kind() == reflect.Struct && depth < depthMax {
			d.fields(field.Type, depth+1, members, required)
			continue
		}
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		member := d.schema(field.Type, depth+1)
		if doc := field.Tag.Get("doc"); doc != "" {
			member["description"] = doc
		}
		members[name] = member
		if field.Type.Kind() != reflect.Pointer && !strings.Contains(options, "omitempty") {
			*required = append(*required, name)
		}
	}
}
