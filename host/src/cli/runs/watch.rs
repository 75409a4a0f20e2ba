//! `host runs watch`: a run as it goes on, drawn anew whenever something happens.

use std::time::Duration;

use console::Term;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, sleep_until};

use super::bars::{bars, width};
use crate::cli::exit::Exit;
use crate::cli::places::Places;
use crate::cli::print;
use crate::cli::remote::{self, At};
use crate::engine::timeline::Followed;
use crate::journal::Seq;
use crate::message::Moment;

/// How often it is drawn at most.
const REDRAW: Duration = Duration::from_millis(100);
/// Rows that are left free at the bottom.
const ROWS_APART: usize = 2;

pub(super) async fn run(at: &At, places: &Places, name: &str) -> anyhow::Result<Exit> {
    let (run, mut events) = if let Some(remote) = at.named()? {
        remote::watched(remote, name).await?
    } else {
        let engine = places.engine(None)?;
        let run = engine.runs().find(name)?;
        (run, engine.attach(run, Seq(0)).map_err(anyhow::Error::from).boxed())
    };
    let term = Term::stdout();
    let mut followed = Followed::new(run);
    let mut drawn = 0;
    let mut due = Instant::now();
    loop {
        let is_over = tokio::select! {
            event = events.next() => match event {
                Some(event) => {
                    followed.take_in(event?, Moment::now().0);
                    false
                }
                None => true,
            },
            // What goes on grows, whether something happens or not.
            () = sleep_until(due), if term.is_term() => {
                drawn = draw(&term, &followed, drawn)?;
                due = Instant::now() + REDRAW;
                false
            }
        };
        if is_over {
            break;
        }
    }
    if term.is_term() {
        term.clear_last_lines(drawn)?;
    }
    let timeline = followed.timeline(Moment::now().0)?;
    print(&bars(&timeline, width(&term)).join("\n"))?;
    Ok(Exit::Ok)
}

/// Draws what there is room for, in the place of what was drawn before; how many lines there are now.
fn draw(term: &Term, followed: &Followed, before: usize) -> anyhow::Result<usize> {
    let Ok(timeline) = followed.timeline(Moment::now().0) else { return Ok(0) };
    let mut lines = bars(&timeline, width(term));
    let room = usize::from(term.size().0).saturating_sub(ROWS_APART).max(2);
    if lines.len() > room {
        // The moments stay above what happened last.
        lines.drain(1..=lines.len() - room);
    }
    term.clear_last_lines(before)?;
    term.write_line(&lines.join("\n"))?;
    Ok(lines.len())
}
