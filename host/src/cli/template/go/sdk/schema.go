package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// How deep types may stand in each other. A type that contains itself has no JSON Schema here.
const depthMax = 16

func schemaOf[T any]() string {
	schema, err := json.Marshal(schema(reflect.TypeFor[T](), 0))
	if err != nil {
		panic(err)
	}
	return string(schema)
}

func schema(t reflect.Type, depth int) map[string]any {
	if depth > depthMax {
		panic(fmt.Sprintf("the type %v contains itself, or is nested more than %d deep", t, depthMax))
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
		return schema(t.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schema(t.Elem(), depth+1)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(t.Elem(), depth+1)}
	case reflect.Struct:
		return object(t, depth)
	case reflect.Interface:
		return map[string]any{}
	default:
		panic(fmt.Sprintf("the type %v cannot be part of a tool's input or output", t))
	}
}

func object(t reflect.Type, depth int) map[string]any {
	members, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		member := schema(field.Type, depth+1)
		if doc := field.Tag.Get("doc"); doc != "" {
			member["description"] = doc
		}
		members[name] = member
		if field.Type.Kind() != reflect.Pointer && !strings.Contains(options, "omitempty") {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "properties": members, "required": required}
}
