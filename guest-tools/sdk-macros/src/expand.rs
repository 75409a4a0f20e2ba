//! The component around a module.
//!
//! The module stays as it was written. Beside it comes an implementation of the SDK's `Component`: a list of
//! definitions, which builds schemas and runs once when the host loads the component, and a `match` by name,
//! which runs for every call and builds none.

use crate::tool::{self, Tool};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, Item, ItemMod, parse_quote};

/// The most tools of one component that the contract allows.
const TOOLS_MAX: usize = 128;

/// Which world of the contract the component is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    /// Its tools stand on their own.
    Tool,
    /// Its tools may call other tools.
    Orchestrator,
}

/// Expands `#[component(arguments)] module`.
pub(crate) fn component(arguments: TokenStream, module: TokenStream) -> syn::Result<TokenStream> {
    let world = world(arguments)?;
    let mut module = syn::parse2::<ItemMod>(module).map_err(|error| {
        syn::Error::new(error.span(), "`#[component]` stands before a module: `mod weather { ... }`")
    })?;
    let tools = tools(&mut module)?;
    let name = &module.ident;
    let body = implementation(name, &tools);
    let declaration = match world {
        World::Tool => TokenStream::new(),
        World::Orchestrator => quote!(::tool_sdk::__declare_orchestrator!();),
    };
    // `pub` marks tools here, so the module is free to be private.
    module.attrs.push(parse_quote!(#[allow(unreachable_pub)]));
    Ok(quote! {
        #module

        // Nothing calls the component in a native build, where tools are only compiled to be tested.
        #[allow(dead_code)]
        const _: () = {
            struct Component;
            #body
            #declaration
            ::tool_sdk::__export!(Component);
        };
    })
}

/// Reads the attribute's arguments: nothing, or `orchestrator`.
fn world(arguments: TokenStream) -> syn::Result<World> {
    if arguments.is_empty() {
        return Ok(World::Tool);
    }
    let refused = |span: Span| syn::Error::new(span, "the only argument is `#[component(orchestrator)]`");
    let argument: Ident = syn::parse2(arguments).map_err(|error| refused(error.span()))?;
    if argument == "orchestrator" { Ok(World::Orchestrator) } else { Err(refused(argument.span())) }
}

/// Reads all the tools of a module, and quiets the lints that a tool's fixed signature would set off.
fn tools(module: &mut ItemMod) -> syn::Result<Vec<Tool>> {
    let span = module.ident.span();
    let Some((_, items)) = &mut module.content else {
        let message = "`#[component]` needs to see the functions: write the module in place, with braces";
        return Err(syn::Error::new(span, message));
    };
    let mut tools = Vec::new();
    let mut errors: Option<syn::Error> = None;
    for item in items {
        let Item::Fn(function) = item else { continue };
        if !tool::is_tool(function) {
            continue;
        }
        match Tool::read(function) {
            Ok(tool) => tools.push(tool),
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
        let quiet = parse_quote!(#[allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)]);
        function.attrs.push(quiet);
    }
    if let Some(errors) = errors {
        return Err(errors);
    }
    match tools.len() {
        0 => Err(syn::Error::new(span, "this component offers no tool: add a documented `pub fn`")),
        1..=TOOLS_MAX => Ok(tools),
        count => {
            Err(syn::Error::new(span, format!("a component has at most {TOOLS_MAX} tools, not {count}")))
        }
    }
}

/// The implementation of the SDK's `Component` for a module's tools.
fn implementation(module: &Ident, tools: &[Tool]) -> TokenStream {
    let definitions = tools.iter().map(|tool| definition(module, tool));
    let arms = tools.iter().map(|tool| arm(module, tool));
    let names = tools.iter().map(|Tool { name, conditions, .. }| quote!(#(#conditions)* #name));
    quote! {
        impl ::tool_sdk::__private::Component for Component {
            const NAMES: &'static [&'static str] = &[#(#names),*];

            fn definitions() -> ::std::vec::Vec<::tool_sdk::__private::ToolDefinition> {
                ::std::vec::Vec::from([#(#definitions),*])
            }

            fn call(
                name: &str,
                input: &str,
            ) -> ::core::option::Option<::core::result::Result<::std::string::String, ::tool_sdk::ToolError>>
            {
                match name {
                    #(#arms)*
                    _ => ::core::option::Option::None,
                }
            }
        }
    }
}

/// The expression that describes one tool.
fn definition(module: &Ident, tool: &Tool) -> TokenStream {
    let Tool { name, description, conditions, .. } = tool;
    let function = function(module, tool);
    let span = tool.function.span();
    let define = quote_spanned!(span=> ::tool_sdk::__private::define(#name, #description, #function));
    quote!(#(#conditions)* #define)
}

/// The `match` arm that runs one tool.
fn arm(module: &Ident, tool: &Tool) -> TokenStream {
    let Tool { name, conditions, .. } = tool;
    let function = function(module, tool);
    let run = quote_spanned!(tool.function.span()=> ::tool_sdk::__private::run(input, #function));
    quote! {
        #(#conditions)*
        #name => ::core::option::Option::Some(#run),
    }
}

/// The tool as a function of one argument.
///
/// All of it is spanned as the function's name, where the compiler then reports a type that lacks a trait.
fn function(module: &Ident, tool: &Tool) -> TokenStream {
    let ident = &tool.function;
    let mut module = module.clone();
    module.set_span(ident.span().resolved_at(module.span()));
    if tool.input.is_some() {
        return quote_spanned!(ident.span()=> #module::#ident);
    }
    quote_spanned!(ident.span()=> |_: ::tool_sdk::__private::Nothing| #module::#ident())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_module_becomes_a_component() {
        let module = quote! {
            mod weather {
                /// Tells the weather.
                pub fn get_weather(query: Query) -> Result<Weather, ToolError> { todo!() }
                /// Lists the cities.
                pub fn cities() -> Result<Vec<String>, ToolError> { todo!() }
                fn lookup() {}
            }
        };
        let expanded = component(TokenStream::new(), module).unwrap().to_string();
        assert!(expanded.contains(r#"& ["get_weather" , "cities"]"#), "{expanded}");
        assert!(expanded.contains(r#""Lists the cities.""#), "{expanded}");
        assert!(!expanded.contains("orchestrator"), "{expanded}");
    }

    #[test]
    fn every_error_of_a_module_is_reported() {
        let module = quote!(
            mod m {
                pub fn a() -> R {}
                pub fn b() -> R {}
            }
        );
        let error = component(TokenStream::new(), module).unwrap_err();
        assert_eq!(error.into_iter().count(), 2);
    }

    #[test]
    fn the_argument_names_the_world() {
        assert_eq!(world(quote!()).unwrap(), World::Tool);
        assert_eq!(world(quote!(orchestrator)).unwrap(), World::Orchestrator);
        assert!(world(quote!(orchestra)).unwrap_err().to_string().contains("orchestrator"));
        assert!(world(quote!("orchestrator")).is_err());
    }

    #[test]
    fn what_is_not_a_module_with_tools_is_refused() {
        for (item, expected) in [
            (
                quote!(
                    fn weather() {}
                ),
                "stands before a module",
            ),
            (
                quote!(
                    mod weather;
                ),
                "write the module in place",
            ),
            (
                quote!(
                    mod weather {
                        fn private() {}
                    }
                ),
                "offers no tool",
            ),
        ] {
            let message = component(TokenStream::new(), item).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
