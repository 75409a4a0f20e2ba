//! The `[approval]` table: which calls a person has to approve.

use toml::Spanned;

use super::raw;
use super::validate::Check;
use crate::message::{Approvals, CallRule, Verdict};

impl Check<'_> {
    pub(super) fn approvals(&mut self, raw: raw::Approval) -> Approvals {
        let raw::Approval { default, auto, ask, deny } = raw;
        let default = match default {
            None | Some(raw::Verdict::Auto) => Verdict::Auto,
            Some(raw::Verdict::Ask) => Verdict::Ask,
            Some(raw::Verdict::Deny) => Verdict::Deny,
        };
        Approvals { default, auto: self.rules(auto), ask: self.rules(ask), deny: self.rules(deny) }
    }

    fn rules(&mut self, raw: Vec<raw::CallRule>) -> Vec<CallRule> {
        let rule = |raw::CallRule { tool, input }: raw::CallRule| {
            self.glob(&tool);
            for glob in input.values() {
                self.glob(glob);
            }
            let input = input.into_iter().map(|(member, glob)| (member, glob.into_inner()));
            CallRule { tool: Spanned::into_inner(tool), input: input.collect() }
        };
        raw.into_iter().map(rule).collect()
    }
}
