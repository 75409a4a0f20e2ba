//! One tool: what the macro reads from a function of the attributed module.
//!
//! Everything the contract says of a tool that can be known from its source is checked here, so that a
//! component that compiles is one that the host accepts. Types are left to the compiler.

use crate::docs;
use syn::ext::IdentExt as _;
use syn::{Attribute, FnArg, Ident, ItemFn, ReturnType, Safety, Type, Visibility};

/// The longest tool name the contract allows, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The longest description the contract allows, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;

/// A public function that is offered as a tool.
pub(crate) struct Tool {
    /// The function.
    pub(crate) function: Ident,
    /// The name the tool is called by.
    pub(crate) name: String,
    /// The function's doc comment.
    pub(crate) description: String,
    /// The type of the argument; a function without argument takes an empty object.
    pub(crate) input: Option<Type>,
    /// The `#[cfg]`s of the function, which also guard whatever is generated for it.
    pub(crate) conditions: Vec<Attribute>,
}

/// Whether a function is offered as a tool: all public ones are.
pub(crate) fn is_tool(function: &ItemFn) -> bool {
    matches!(function.vis, Visibility::Public(_))
}

impl Tool {
    /// Reads a public function.
    pub(crate) fn read(function: &ItemFn) -> syn::Result<Self> {
        let signature = &function.sig;
        refuse(signature.asyncness.as_ref(), "a tool is not async: a component runs one call, alone")?;
        if let Safety::Unsafe(token) = &signature.safety {
            return Err(error(token, "a tool is a safe function: the host calls it with any input"));
        }
        refuse(signature.abi.as_ref(), "a tool is an ordinary Rust function, without `extern`")?;
        if !signature.generics.params.is_empty() {
            return Err(error(&signature.generics, "a tool is not generic: its input has one JSON Schema"));
        }
        refuse(signature.variadic.as_ref(), "a tool takes at most one argument")?;
        if matches!(signature.output, ReturnType::Default) {
            let message = "a tool returns `Result<T, E>`, where `E` converts into `tool_sdk::ToolError`";
            return Err(error(&signature.ident, message));
        }
        Ok(Self {
            name: name(&signature.ident)?,
            description: description(function)?,
            input: input(function)?,
            conditions: function.attrs.iter().filter(|a| a.path().is_ident("cfg")).cloned().collect(),
            function: signature.ident.clone(),
        })
    }
}

/// An error that points at `tokens`.
fn error(tokens: impl quote::ToTokens, message: impl std::fmt::Display) -> syn::Error {
    syn::Error::new_spanned(tokens, message)
}

/// Fails if the function has something that a tool has not.
fn refuse(tokens: Option<&impl quote::ToTokens>, message: &str) -> syn::Result<()> {
    tokens.map_or(Ok(()), |tokens| Err(error(tokens, message)))
}

/// The tool's name, which is the function's.
fn name(ident: &Ident) -> syn::Result<String> {
    let name = ident.unraw().to_string();
    if !name.is_ascii() {
        return Err(error(ident, "the name of a tool has only ASCII letters, digits and `_`"));
    }
    if name.len() > NAME_CHARS_MAX {
        let message =
            format!("the name of a tool has at most {NAME_CHARS_MAX} characters, not {}", name.len());
        return Err(error(ident, message));
    }
    Ok(name)
}

/// The tool's description, which is the function's doc comment.
fn description(function: &ItemFn) -> syn::Result<String> {
    let ident = &function.sig.ident;
    let Some(text) = docs::text(&function.attrs)? else {
        let message = format!(
            "tool `{ident}` has no description: add a doc comment that tells the model what it does, when to \
             use it and what it returns (or make the function private, if it is not a tool)"
        );
        return Err(error(ident, message));
    };
    if text.len() > DESCRIPTION_BYTES_MAX {
        let message = format!(
            "the doc comment of tool `{ident}` has {} bytes; a description has at most {DESCRIPTION_BYTES_MAX}",
            text.len()
        );
        return Err(error(ident, message));
    }
    Ok(text)
}

/// The type of the only argument.
fn input(function: &ItemFn) -> syn::Result<Option<Type>> {
    let mut arguments = function.sig.inputs.iter();
    let input = match arguments.next() {
        None => None,
        Some(FnArg::Receiver(receiver)) => {
            return Err(error(receiver, "a tool is a free function, without `self`"));
        }
        Some(FnArg::Typed(argument)) => Some((*argument.ty).clone()),
    };
    if let Some(Type::Reference(reference)) = &input {
        return Err(error(reference, "a tool takes its input by value, as it is parsed for this one call"));
    }
    if let Some(second) = arguments.next() {
        return Err(error(second, "a tool takes at most one argument: put both into one struct"));
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use syn::parse_quote;

    /// The message of the error that reading `function` gives.
    fn refusal(function: &ItemFn) -> String {
        Tool::read(function).err().unwrap().to_string()
    }

    #[test]
    fn a_documented_function_is_a_tool() {
        let function: ItemFn = parse_quote! {
            /// Moves.
            #[cfg(feature = "motion")]
            pub fn r#move(target: Place) -> Result<(), ToolError> { Ok(()) }
        };
        let tool = Tool::read(&function).unwrap();
        assert_eq!((tool.name.as_str(), tool.description.as_str()), ("move", "Moves."));
        assert!(matches!(tool.input, Some(Type::Path(path)) if path.path.is_ident("Place")));
        assert_eq!(tool.conditions.len(), 1);
    }

    #[test]
    fn only_public_functions_are_tools() {
        assert!(is_tool(&parse_quote!(
            pub fn a() {}
        )));
        assert!(!is_tool(&parse_quote!(
            fn a() {}
        )));
        assert!(!is_tool(&parse_quote!(
            pub(crate) fn a() {}
        )));
    }

    #[test]
    fn a_missing_description_names_the_tool() {
        let message = refusal(&parse_quote!(
            pub fn weather(q: Query) -> Result<(), String> {
                Ok(())
            }
        ));
        assert!(message.contains("tool `weather` has no description"), "{message}");
    }

    #[test]
    fn wrong_signatures_say_what_is_wrong() {
        let refused: [(ItemFn, &str); 7] = [
            (
                parse_quote!(
                    #[doc = "A."]
                    pub async fn a() -> Result<(), String> {
                        Ok(())
                    }
                ),
                "not async",
            ),
            (
                parse_quote!(
                    #[doc = "A."]
                    pub unsafe fn a() -> Result<(), String> {
                        Ok(())
                    }
                ),
                "safe",
            ),
            (
                parse_quote!(
                    #[doc = "A."]
                    pub fn a<T>(t: T) -> Result<(), String> {
                        Ok(())
                    }
                ),
                "not generic",
            ),
            (
                parse_quote!(
                    #[doc = "A."]
                    pub fn a(&self) -> Result<(), String> {
                        Ok(())
                    }
                ),
                "without `self`",
            ),
            (
                parse_quote!(
                    #[doc = "A."]
                    pub fn a(x: &X) -> Result<(), String> {
                        Ok(())
                    }
                ),
                "by value",
            ),
            (
                parse_quote!(
                    #[doc = "A."]
                    pub fn a(x: X, y: Y) -> Result<(), String> {
                        Ok(())
                    }
                ),
                "one struct",
            ),
            (
                parse_quote!(
                    #[doc = "A."]
                    pub fn a(x: X) {}
                ),
                "returns `Result<T, E>`",
            ),
        ];
        for (function, expected) in refused {
            let message = refusal(&function);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn limits_of_the_contract_hold() {
        let long = Ident::new(&"a".repeat(65), proc_macro2::Span::call_site());
        assert!(refusal(&parse_quote!(#[doc = "A."] pub fn #long() -> R { R })).contains("64 characters"));
        let text = "b".repeat(DESCRIPTION_BYTES_MAX + 1);
        assert!(refusal(&parse_quote!(#[doc = #text] pub fn a() -> R { R })).contains("4097 bytes"));
    }
}
