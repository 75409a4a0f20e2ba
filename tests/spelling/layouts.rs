//! The new spelling leaves a file as it is laid out.

use super::{parse, respelled, tool};

/// What becomes of the lines of a tool.
fn becomes(before: &str, after: &str) {
    assert_eq!(respelled(&tool(before)).text, tool(after), "{before}");
    assert_eq!(respelled(&tool(after)).text, tool(after), "again");
}

#[test]
fn names_change_in_their_places() {
    for (before, after) in [
        ("limits.calls = 7", "limits.tool_calls = 7"),
        ("limits . \"calls\"  =  0x7 # why", "limits . tool_calls  =  0x7 # why"),
        ("[tools.t.limits]\n# how many\ncalls = 7", "[tools.t.limits]\n# how many\ntool_calls = 7"),
        (
            "permissions.dirs = [\n  # one\n  { host = '/', guest = \"/d\", access = 'ro' }, # two\n  # three\n]",
            "permissions.dirs = [\n  # one\n  { path = '/', guest = \"/d\", access = 'read' }, # two\n  # three\n]",
        ),
        (
            "permissions = { calls = [\"a\"], network = [\"https://a.b\", { methods = [\"GET\"], host = \"https://c.d\" }] }",
            "permissions = { calls = [\"a\"], network = [\"https://a.b\", { methods = [\"GET\"], url = \"https://c.d\" }] }",
        ),
        // Comments that stand in a column stay there.
        (
            "[[tools.t.permissions.network]]\nhost = \"https://a.b\"    # a site\nmethods = [\"GET\"]      # to read",
            "[[tools.t.permissions.network]]\nurl = \"https://a.b\"     # a site\nmethods = [\"GET\"]      # to read",
        ),
        ("limits.calls = 7      # seven", "limits.tool_calls = 7 # seven"),
        ("limits.calls = 7  # seven", "limits.tool_calls = 7 # seven"),
    ] {
        becomes(before, after);
    }
}

#[test]
fn what_is_shown_moves_to_its_tool() {
    for (before, after) in [
        ("limits.shown = \"1KiB\"", "shown_output = \"1KiB\""),
        (
            "limits.cpu = \"1s\"\nlimits.shown = \"1KiB\" # why\nprefix = \"t_\"\nlimits.log = \"1KiB\"",
            "limits.cpu = \"1s\"\nshown_output = \"1KiB\" # why\nprefix = \"t_\"\nlimits.log = \"1KiB\"",
        ),
        ("limits = { shown = \"1KiB\" }", "shown_output = \"1KiB\""),
        (
            "limits = { cpu = \"1s\", shown = \"1KiB\" } # why",
            "limits = { cpu = \"1s\" } # why\nshown_output = \"1KiB\"",
        ),
        ("limits = { shown = \"1KiB\", cpu = \"1s\" }", "limits = { cpu = \"1s\" }\nshown_output = \"1KiB\""),
        (
            "limits = {\n  cpu = \"1s\", # one\n  # two\n  shown = \"1KiB\", # three\n}",
            "limits = {\n  cpu = \"1s\", # one\n  # two\n  # three\n}\nshown_output = \"1KiB\"",
        ),
        (
            "prefix = \"t_\"\n\n[tools.t.limits]\ncpu = \"1s\"\n# why\n# indeed\nshown = \"1KiB\" # so\nlog = \"1KiB\"",
            "prefix = \"t_\"\n# why\n# indeed\nshown_output = \"1KiB\" # so\n\n[tools.t.limits]\ncpu = \"1s\"\nlog = \"1KiB\"",
        ),
        (
            "[tools.t.limits]\nshown = \"1KiB\"           # in a column\ncpu = \"1s\"               # as this",
            "shown_output = \"1KiB\"    # in a column\n[tools.t.limits]\ncpu = \"1s\"               # as this",
        ),
        // A header with nothing below it goes, unless somebody wrote a comment there.
        (
            "\n[tools.t.limits]\nshown = \"1KiB\"\n\n# the key\n[secrets.KEY]\nenv = \"KEY\"",
            "shown_output = \"1KiB\"\n\n# the key\n[secrets.KEY]\nenv = \"KEY\"",
        ),
        ("\n\n[tools.t.limits]\n\nshown = \"1KiB\"\n\n", "shown_output = \"1KiB\""),
        (
            "\n[tools.t.limits]\nshown = \"1KiB\"\n# cpu = \"1s\"",
            "shown_output = \"1KiB\"\n\n[tools.t.limits]\n# cpu = \"1s\"",
        ),
        (
            "\n# limits\n[tools.t.limits]\nshown = \"1KiB\"",
            "shown_output = \"1KiB\"\n\n# limits\n[tools.t.limits]",
        ),
    ] {
        becomes(before, after);
    }
}

/// Tables that stand between braces, or have no header of their own.
#[test]
fn what_moves_finds_its_table() {
    let model = "provider = \"openai\"\nname = \"m\"\n";
    for (before, after) in [
        (
            format!("version = 1\n[model]\n{model}[tools]\nt.source = \"t\"\nu.source = \"u\"\n[tools.t.limits]\nshown = \"1KiB\"\n"),
            format!("version = 1\n[model]\n{model}[tools]\nt.source = \"t\"\nt.shown_output = \"1KiB\"\nu.source = \"u\"\n"),
        ),
        (
            format!("version = 1\ntools = {{ t = {{ source = \"t\", limits = {{ shown = \"1KiB\", fuel = 1 }} }} }}\n[model]\n{model}"),
            format!("version = 1\ntools = {{ t = {{ source = \"t\", limits = {{ fuel = 1 }}, shown_output = \"1KiB\" }} }}\n[model]\n{model}"),
        ),
        (
            format!("version = 1\ntools.t.source = \"t\"\ntools.t.limits = {{ shown = \"1KiB\", fuel = 1 }}\n[model]\n{model}"),
            format!("version = 1\ntools.t.source = \"t\"\ntools.t.limits = {{ fuel = 1 }}\ntools.t.shown_output = \"1KiB\"\n[model]\n{model}"),
        ),
        (
            format!("version = 1\n[model]\n{model}structured_output = true # why\n[agent.output_schema]\ntype = \"object\"\n"),
            format!("version = 1\n[model]\n{model}# why\n[agent]\nstructured_output = true\n\n[agent.output_schema]\ntype = \"object\"\n"),
        ),
        (
            format!("version = 1\n[agent]\nname = \"n\"\n\n[agent.output_schema]\ntype = \"object\"\n\n[model]\n{model}# why\nstructured_output = true\n"),
            format!("version = 1\n[agent]\nname = \"n\"\n# why\nstructured_output = true\n\n[agent.output_schema]\ntype = \"object\"\n\n[model]\n{model}"),
        ),
        (
            format!("version = 1\nagent.output_schema.type = \"object\"\nagent.name = \"n\"\n[model]\n{model}structured_output = true\n"),
            format!("version = 1\nagent.output_schema.type = \"object\"\nagent.structured_output = true\nagent.name = \"n\"\n[model]\n{model}"),
        ),
        (
            "version = 1\nagent = { output_schema = { type = \"object\" } }\n\
             model = { provider = \"openai\", structured_output = true, name = \"m\", fallback = [{ provider = \"gemini\", name = \"g\" }] }\n"
                .to_owned(),
            "version = 1\nagent = { output_schema = { type = \"object\" }, structured_output = true }\n\
             model = { provider = \"openai\", name = \"m\", fallback = [{ provider = \"gemini\", structured_output = false, name = \"g\" }] }\n"
                .to_owned(),
        ),
        // A script holds no answer to a form, so there is nothing to be said of it.
        (
            format!("version = 1\n[agent]\noutput_schema = {{ type = \"object\" }}\n[model]\n{model}structured_output = true\n[[model.fallback]]\nprovider = \"scripted\"\nscript = \"s\"\n"),
            format!("version = 1\n[agent]\noutput_schema = {{ type = \"object\" }}\nstructured_output = true\n[model]\n{model}[[model.fallback]]\nprovider = \"scripted\"\nscript = \"s\"\n"),
        ),
        // Without a table to move to, it stays.
        (
            format!("version = 1\n[model]\n{model}structured_output = false\n"),
            format!("version = 1\n[model]\n{model}structured_output = false\n"),
        ),
    ] {
        assert_eq!(respelled(&before).text, after);
        assert_eq!(respelled(&after).text, after, "again");
    }
}

#[test]
fn a_file_without_an_end_of_its_last_line_has_none_afterwards() {
    let before = tool("limits.calls = 7");
    let before = before.trim_end();
    assert!(respelled(before).text.ends_with("tool_calls = 7"));
    assert_eq!(parse(before).unwrap().older_spellings().len(), 1);
}
