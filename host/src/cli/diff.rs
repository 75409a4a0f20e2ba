//! `host runs diff`: two runs, slot by slot: what each asked its tools, and what came of everything.

use super::exit::Exit;
use super::moment::Moment;
use super::recorded::Read;
use super::words::{counted, headline, one_line};
use super::{print, say};
use crate::engine::compare::{Comparison, Difference, Found};
use crate::engine::timeline::Followed;
use crate::message::Slot;

pub(super) fn run(one: Read, other: Read) -> anyhow::Result<Exit> {
    let known = |(run, entries, state): Read| Followed::recorded(run, entries, state);
    let (one, other) = (known(one)?, known(other)?);
    let now_ms = Moment::now().0;
    let (here, there) = (one.timeline(now_ms)?, other.timeline(now_ms)?);
    let compared = Comparison::of(&here, &there, one.entries());
    let Comparison { changes, ending, places, same } = &compared;
    let mut lines = changes.clone();
    if !ending.is_empty() {
        lines.extend([format!("{} {}", Slot::RUN, one_line(&here.manifest.agent)), ending.clone()]);
    }
    for Difference { slot, request, found } in places {
        let headline = headline(slot, request);
        match found {
            Found::OnlyIn(run) => lines.push(format!("{headline}  only in run {run}")),
            Found::Lines(diffs) => {
                lines.push(headline);
                lines.extend(diffs.iter().cloned());
            }
        }
    }
    for line in &lines {
        print(line.trim_end())?;
    }
    say(format_args!("{} the same", counted(*same, "slot")));
    Ok(if compared.is_empty() { Exit::Ok } else { Exit::Divergence })
}
