//! A run as it goes on: parts of its page, each sent when it has changed.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use tokio::time::sleep;

use super::super::problem::Problem;
use super::super::tokens::Scope;
use super::door::Visit;
use super::page::titled;
use super::read::Read;
use super::run::may;
use super::{Site, State, acts, menu};
use crate::engine::timeline::Followed;
use crate::journal::Seq;
use crate::message::{Moment, RunId};
use crate::ui::{self, Linked, Window};

/// The least time between two pictures.
const EVERY: Duration = Duration::from_millis(200);
/// How often what goes on is drawn anew, although nothing has happened: it grows.
const GROWS: Duration = Duration::from_secs(1);
/// The same of a run that waits, or stands still.
const RESTS: Duration = Duration::from_secs(30);
/// A picture that takes long to make is made so many times its own time apart.
const APART: u32 = 10;
/// How often something is sent where nothing happens.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// What was sent last of each part.
#[derive(Default)]
struct Sent([Option<String>; 4]);

/// Follows a run, until it has ended.
pub(super) async fn changes(
    axum::extract::State(site): State,
    visit: Visit,
    Path(run): Path<String>,
) -> Result<Response, Problem> {
    let read = Read::of(&site, &visit.caller, &run).await?;
    let place = site.server().map(|server| server.limits.wait()).transpose()?;
    let run = read.summary.run;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let _place = place;
        follow(site, visit, run, sender).await;
    });
    let events = futures::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response())
}

/// Draws a run whenever something has happened to it, for whoever may still see it and still looks.
async fn follow(site: Arc<Site>, visit: Visit, run: RunId, sender: tokio::sync::mpsc::Sender<Event>) {
    let visit = Arc::new(visit);
    let mut followed = Followed::new(run);
    let mut events = pin!(site.engine.attach(run, Seq(0)));
    let mut sent = Sent::default();
    loop {
        let is_over = tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => { followed.take_in(event, Moment::now().0); false }
                // A run that is removed while somebody follows it, for instance.
                Some(Err(_)) | None => true,
            },
            () = sleep(if followed.is_running() { GROWS } else { RESTS }) => false,
            () = sender.closed() => return,
        };
        // What is there already is part of the same picture.
        let gathering = sleep(if is_over { Duration::ZERO } else { EVERY });
        let mut gathering = pin!(gathering);
        let mut is_over = is_over;
        while !is_over {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => followed.take_in(event, Moment::now().0),
                    Some(Err(_)) | None => is_over = true,
                },
                () = &mut gathering => break,
                () = sender.closed() => return,
            }
        }
        if visit.caller.1.strong_count() == 0 {
            return;
        }
        let began = Instant::now();
        let looker = Arc::clone(&visit);
        let draw = move |site: &Site| Ok((drawn(site, &looker, run, &followed), followed));
        let Ok((parts, drawn)) = site.drawn(draw).await else { return };
        followed = drawn;
        for ((name, part), last) in parts.into_iter().zip(&mut sent.0) {
            if last.as_ref() != Some(&part) {
                *last = Some(part.clone());
                // A browser tells a page of no event without data.
                let data = if part.is_empty() { " ".to_owned() } else { part };
                if sender.send(Event::default().event(name).data(data)).await.is_err() {
                    return;
                }
            }
        }
        if is_over {
            // Who gave up waiting need not be told.
            let _ = sender.send(Event::default().event("ended").data("ended")).await;
            return;
        }
        sleep(began.elapsed() * APART).await;
    }
}

/// The parts of the page that change.
fn drawn(site: &Site, visit: &Visit, run: RunId, followed: &Followed) -> Vec<(&'static str, String)> {
    let Ok(timeline) = followed.timeline(Moment::now().0) else { return Vec::new() };
    let may = may(site, visit, Scope::Decide);
    // The title of the page comes along: what swaps parts of pages takes it for the page's.
    let title = titled(&ui::title(&timeline));
    vec![
        ("facts", title.0 + &ui::facts(&timeline, Linked::Page(run)).0),
        ("waits", acts::waiting(may, visit, run, followed.waiting()).0),
        ("bars", ui::bars(&timeline, Window::Last, Linked::Beside(run)).0),
        ("menu", menu::menu(site, visit, followed).0),
    ]
}
