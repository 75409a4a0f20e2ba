use super::NetworkGrant;
use super::network::{Refusal, Wanted, allow, origin, reaches};
use super::path::grantable;
use super::site::Site;
use crate::message::toml_string;

impl NetworkGrant {
    /// The least grant that a refused request lacks, besides those that there are; none if no grant allows it.
    #[must_use]
    pub fn missing(grants: &[Self], wanted: &Wanted<'_>, refusal: &Refusal) -> Option<Self> {
        let origin = origin(wanted).ok()?;
        let site: Site = match refusal {
            Refusal::Malformed(_) | Refusal::Ungrantable(_) => return None,
            Refusal::Elsewhere(origin) => origin.to_string(),
            Refusal::Path { path, .. } => format!("{origin}{}", grantable(path)),
            Refusal::Method { granted, .. } => granted.to_string(),
        }
        .parse()
        .ok()?;
        let mut here = grants.iter().filter(|grant| reaches(&grant.site, &origin));
        let allow_private = site.special().is_some() || here.any(|grant| grant.allow_private);
        let methods = vec![wanted.method.to_owned()];
        let grant = Self { site, methods, secrets: Vec::new(), allow_private };
        // A host that reads as a pattern would be granted as one.
        let is_meant = !wanted.authority.contains('*');
        (is_meant && allow(std::slice::from_ref(&grant), wanted).is_ok()).then_some(grant)
    }

    /// The table of agent.toml that grants this to a tool.
    #[must_use]
    pub fn in_toml(&self, tool: &str) -> String {
        let Self { site, methods, secrets, allow_private } = self;
        let list = |texts: &[String]| texts.iter().map(|it| toml_string(it)).collect::<Vec<_>>().join(", ");
        let mut lines = vec![
            format!("[[tools.{tool}.permissions.network]]"),
            format!("url = {}", toml_string(&site.to_string())),
            format!("methods = [{}]", list(methods)),
        ];
        if !secrets.is_empty() {
            lines.push(format!("secrets = [{}]", list(secrets)));
        }
        if *allow_private {
            lines.push("allow_private = true".to_owned());
        }
        lines.join("\n")
    }
}
