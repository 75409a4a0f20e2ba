//! Any request is decided on without a panic, and one that is allowed goes where the grant says: to its host
//! and port, with its method, below its path.
#![no_main]

use std::sync::LazyLock;

use host::grants::{NetworkGrant, Site, Wanted, allow};
use libfuzzer_sys::fuzz_target;

static GRANTS: LazyLock<Vec<NetworkGrant>> = LazyLock::new(|| {
    ["https://api.example.com/v1", "https://*.cdn.example.com:8443", "http://127.0.0.1:8080/a/b"]
        .map(|site| NetworkGrant {
            site: site.parse().expect("a site"),
            methods: vec!["GET".to_owned()],
            secrets: Vec::new(),
            allow_private: false,
        })
        .into()
});

/// A path with the escapes undone that stand for what needs none.
fn plain(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[2..]);
            }
            Some(_) | None => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    plain
}

fuzz_target!(|text: &str| {
    // A site that can be read is written in a form that reads the same.
    if let Ok(site) = text.parse::<Site>() {
        assert_eq!(site.to_string().parse(), Ok(site));
    }
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let wanted = Wanted { method: part(), scheme: part(), authority: part(), path_and_query: part() };
    let allowed = match allow(&GRANTS, &wanted) {
        Ok(allowed) => allowed,
        Err(refusal) => {
            // What is said to grant it can be written down, and does.
            if let Some(missing) = NetworkGrant::missing(&GRANTS, &wanted, &refusal) {
                assert_eq!(missing.site.to_string().parse(), Ok(missing.site.clone()));
                assert!(allow(&[missing], &wanted).is_ok(), "{wanted:?}");
            }
            return;
        }
    };
    assert_eq!(wanted.method, "GET");
    // A grant compares what a path stands for: `%76` is the letter v.
    let path = wanted.path_and_query.split(['?', '#']).next().unwrap_or_default();
    let path = &*plain(path);
    let host = allowed.host.to_string();
    match allowed.port {
        443 => assert!(host == "api.example.com" && path.starts_with("/v1"), "{wanted:?}"),
        8443 => assert!(host.strip_suffix(".cdn.example.com").is_some_and(|it| !it.contains('.')), "{wanted:?}"),
        8080 => assert!(host == "127.0.0.1" && path.starts_with("/a/b"), "{wanted:?}"),
        port => panic!("{port}: {wanted:?}"),
    }
    // What a browser or a server would make of the URL leads to the same place.
    if let Ok(url) = url::Url::parse(&format!("{}://{}{path}", wanted.scheme, wanted.authority)) {
        assert_eq!(url.port_or_known_default(), Some(allowed.port), "{wanted:?}");
        let below = ["/v1", "/a/b"].iter().any(|granted| plain(url.path()).starts_with(granted));
        assert!(below || allowed.port == 8443, "{wanted:?} leads to {url}");
    }
});
