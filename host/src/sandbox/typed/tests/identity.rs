//! Made-up types as those of real components, which give what they get.

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use wasmtime::Store;
use wasmtime::component::{Linker, Val};

use super::generated::{shapes, typed_values};
use super::*;

/// A component whose function gives its argument back. The argument goes through memory, because it has more parts
/// than are passed otherwise: so that the address that comes in is that of what goes out.
fn identity(shape: &Shape) -> String {
    let mut types = Types::default();
    let kind = types.of(shape);
    let padding = "u8 ".repeat(17);
    format!(
        r#"{types}
        (core module $m
            (memory (export "memory") 1)
            (global $end (mut i32) (i32.const 16))
            (func (export "f") (param i32) (result i32) local.get 0)
            (func (export "realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $end) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $end (i32.add (local.get $at) (local.get $size)))
                (block $fits (loop $grow
                    (br_if $fits (i32.le_u (global.get $end) (i32.mul (memory.size) (i32.const 65536))))
                    (drop (memory.grow (i32.const 1)))
                    (br $grow)))
                (local.get $at)))
        (core instance $i (instantiate $m))
        (func $f (param "x" (tuple {kind} {padding})) (result (tuple {kind} {padding}))
            (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (export "f" (func $f))"#,
        types = types.text
    )
}

/// Definitions of types, in the text format of components.
#[derive(Default)]
struct Types {
    text: String,
    count: usize,
}

impl Types {
    /// Defines what a type is made of, and says how it is referred to.
    fn of(&mut self, shape: &Shape) -> String {
        let list = |names: &Names| names.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(" ");
        let (definition, is_named) = match shape {
            Shape::Bool => return "bool".to_owned(),
            Shape::Int(int) => return int.name().to_owned(),
            Shape::F32 => return "f32".to_owned(),
            Shape::F64 => return "f64".to_owned(),
            Shape::Char => return "char".to_owned(),
            Shape::String => return "string".to_owned(),
            Shape::Bytes => ("list u8".to_owned(), false),
            Shape::List(item) => (format!("list {}", self.of(item)), false),
            Shape::Fixed(item, count) => (format!("list {} {count}", self.of(item)), false),
            Shape::Map(key, of) => (format!("map {} {}", self.of(key), self.of(of)), false),
            Shape::Option(some) => (format!("option {}", self.of(some)), false),
            Shape::Tuple(items) => {
                let items: Vec<String> = items.iter().map(|it| self.of(it)).collect();
                (format!("tuple {}", items.join(" ")), false)
            }
            Shape::Result(_, cases) => {
                let ok = cases[0].as_ref().map_or_else(String::new, |it| self.of(it));
                let err = cases[1].as_ref().map_or_else(String::new, |it| format!("(error {})", self.of(it)));
                (format!("result {ok} {err}"), false)
            }
            Shape::Record(members) => {
                let fields: Vec<String> =
                    members.iter().map(|(name, it)| format!("(field {name:?} {})", self.of(it))).collect();
                (format!("record {}", fields.join(" ")), true)
            }
            Shape::Variant(names, shapes) => {
                let cases = names.iter().zip(shapes).map(|(name, shape)| {
                    let with = shape.as_ref().map_or_else(String::new, |it| self.of(it));
                    format!("(case {name:?} {with})")
                });
                (format!("variant {}", cases.collect::<Vec<_>>().join(" ")), true)
            }
            Shape::Enum(names) => (format!("enum {}", list(names)), true),
            Shape::Flags(names) => (format!("flags {}", list(names)), true),
        };
        let number = self.count;
        self.count += 1;
        let _ = writeln!(self.text, "(type $d{number} ({definition}))");
        if is_named {
            let _ = writeln!(self.text, "(export $t{number} \"t{number}\" (type $d{number}))");
            format!("$t{number}")
        } else {
            format!("$d{number}")
        }
    }
}

static ENGINE: LazyLock<Engine> = LazyLock::new(engine);

fn made(text: &str) -> Component {
    let bytes =
        wat::parse_str(format!("(component {text})")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Component::new(&ENGINE, bytes).unwrap_or_else(|error| panic!("{error:?}\n{text}"))
}

/// The type of the argument, without what pads it.
fn argument(surface: &Surface) -> &Shape {
    let function = surface.functions.first().unwrap_or_else(|| panic!("{:?}", surface.refused));
    match &function.params.shapes[..] {
        [Shape::Tuple(items)] => &items[0],
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_type_is_what_the_component_says(shape in shapes(true)) {
        let surface = Surface::of(&made(&identity(&shape))).unwrap();
        prop_assert_eq!(argument(&surface), &shape);
    }

    #[test]
    fn a_value_goes_through_a_component((shape, value) in typed_values(true)) {
        let component = made(&identity(&shape));
        let surface = Surface::of(&component).unwrap();
        let function = &surface.functions[0];
        let text = write::json(&shape, &value, usize::MAX).unwrap();
        let padded = json(&format!("{{\"x\":[{text}{}]}}", ",7".repeat(17)));
        let arguments = read::arguments(&function.params, &padded).unwrap();
        let mut store = Store::new(&ENGINE, ());
        let instance = Linker::new(&ENGINE).instantiate(&mut store, &component).unwrap();
        let mut given = [Val::Bool(false)];
        let callable = instance.get_func(&mut store, function.index).unwrap();
        callable.call(&mut store, &arguments, &mut given).unwrap();
        let Val::Tuple(given) = &given[0] else { panic!("{given:?}") };
        prop_assert_eq!(&given[0], &value);
        prop_assert_eq!(write::json(&shape, &given[0], usize::MAX).unwrap(), text);
    }
}
