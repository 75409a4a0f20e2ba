//! What an exported function is called by models: names of `A-Z a-z 0-9 _ -`, of 64 characters at most.
//!
//! An export's own name has no `_`, so that the one between interface and function tells them apart. The package and
//! its version are left out: two exports can come to the same name, and whoever offers tools has to choose then.

/// What model providers take.
pub(super) const NAME_CHARS_MAX: usize = 64;

/// The name of a function that is exported by the world itself, or by an interface: `ns:package/interface@version`, or a
/// plain name. It fails with the reason why there is no name for it.
pub(super) fn tool_name(interface: Option<&str>, function: &str) -> Result<String, String> {
    let name = match interface {
        Some(interface) => format!("{}_{function}", short(interface)),
        None => function.to_owned(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.chars().all(plain) {
        return Err("its name has characters that model providers do not take".to_owned());
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(format!(
            "its name `{name}` has {} characters, and model providers take {NAME_CHARS_MAX}",
            name.len()
        ));
    }
    Ok(name)
}

/// An interface without its package and version.
pub(in crate::sandbox) fn short(interface: &str) -> &str {
    let unversioned = interface.split_once('@').map_or(interface, |(name, _)| name);
    unversioned.rsplit_once('/').map_or(unversioned, |(_, name)| name)
}

/// What an export is called exactly: `interface#function`, or the function alone.
pub(super) fn path(interface: Option<&str>, function: &str) -> String {
    interface.map_or_else(|| function.to_owned(), |interface| format!("{interface}#{function}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_interface_and_function() {
        for (interface, function, name) in [
            (None, "add", "add"),
            (Some("docs:calc/ops@1.0.0"), "add", "ops_add"),
            (Some("docs:calc/ops"), "add-all", "ops_add-all"),
            (Some("api"), "GET", "api_GET"),
        ] {
            assert_eq!(tool_name(interface, function).unwrap(), name);
        }
        assert!(tool_name(None, "[method]r.get").unwrap_err().contains("characters"));
        let long = "a".repeat(60);
        assert!(tool_name(Some("docs:calc/ops-2"), &long).unwrap_err().contains("has 66 characters"));
    }

    proptest! {
        #[test]
        fn a_name_says_which_interface_and_function(
            interface in proptest::option::of("[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?"),
            function in "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?",
        ) {
            let whole = interface.as_ref().map(|it| format!("ns:package/{it}@1.2.3"));
            let name = tool_name(whole.as_deref(), &function).unwrap();
            let apart = name.split_once('_');
            prop_assert_eq!(apart.map(|(interface, _)| interface), interface.as_deref());
            prop_assert_eq!(apart.map_or(&*name, |(_, function)| function), &*function);
        }
    }
}
