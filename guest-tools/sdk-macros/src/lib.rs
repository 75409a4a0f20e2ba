//! The attribute macro of `tool-sdk`, which re-exports and documents it as `tool_sdk::component`.
//!
//! `docs` turns doc comments into descriptions, `tool` reads one function and says what is wrong with
//! it, and `expand` writes the component around the module. No code here runs in a component.
//!
//! It fails by a compile error at the function, argument or attribute that is at fault; all the errors of a
//! module are reported at once.

mod docs;
mod expand;
mod tool;

/// Makes a component of a module: every `pub fn` in it becomes a tool.
///
/// See `tool_sdk::component` for the rules.
#[proc_macro_attribute]
pub fn component(
    arguments: proc_macro::TokenStream,
    module: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand::component(arguments.into(), module.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
