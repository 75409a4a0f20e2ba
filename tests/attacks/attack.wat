(component
  (;IMPORT;)
  (;MORE;)
  (core module $m
    (;CORE_IMPORT;)
    (memory (export "memory") 1)
    (;EXTRA;)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    ;; One record at 64: name, description, input-schema, and no output-schema.
    (data (i32.const 0) "attackAn attack.{\"type\":\"object\"}")
    (data (i32.const 64)
      "\00\00\00\00\06\00\00\00"
      "\06\00\00\00\0a\00\00\00"
      "\10\00\00\00\11\00\00\00"
      "\00\00\00\00\00\00\00\00\00\00\00\00")
    ;; The list: where it is and how long.
    (data (i32.const 128) "\40\00\00\00\01\00\00\00")
    (func (export "list") (result i32) (i32.const 128))
    (func (export "call") (param i32 i32 i32 i32) (result i32) (;CALL;)))
  (;LOWER;)
  (core instance $i (instantiate $m (;WITH;)))
  (type $tool-error (variant (case "invalid-input" string) (case "transient" string) (case "failed" string)))
  (type $tool-definition (record
    (field "name" string) (field "description" string) (field "input-schema" string)
    (field "output-schema" (option string))))
  (func $list (result (list $tool-definition))
    (canon lift (core func $i "list") (memory (core memory $i "memory"))))
  (func $call (param "name" string) (param "input" string) (result (result string (error $tool-error)))
    (canon lift (core func $i "call") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $tools
    (export "tool-error" (type $tool-error))
    (export "tool-definition" (type $tool-definition))
    (export "list-tools" (func $list))
    (export "call" (func $call)))
  (export "host:tool/tools@0.1.0" (instance $tools)))
