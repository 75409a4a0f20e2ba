//! Pages in a browser: what runs there are, what each was, and what somebody says to them.
//!
//! Owns the paths below `/ui`, who may see which (`door`), and the shape of the pages; how a run is drawn, [`crate::ui`]
//! knows. Thin: what it shows the engine says, and whatever somebody does on a page is a request to the API with what
//! they may do (`acts`). Invariants: nothing is changed by a request that does not come from one of these pages; a page
//! shows no more than the API tells the same person; no page has a script in it, and none is loaded from elsewhere.

mod acts;
mod agents;
mod compare;
mod door;
mod glance;
mod live;
mod menu;
mod page;
mod read;
mod recent;
mod run;
mod runs;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};

use super::Server;
use super::bound::Taken;
use super::guard::{Guard, Passed};
use super::problem::{Kind, Problem};
use crate::engine::Engine;
use crate::message::RunId;
use crate::ui;
use door::Door;
pub(super) use door::Keys;
use glance::Glances;
use recent::Recent;

/// What pages show, and whom.
pub(super) struct Site {
    engine: Engine,
    /// Who carries out what is done on a page. Without a server, everything can be looked at alone.
    behind: Option<Behind>,
    guard: Arc<Guard>,
    door: Door,
    glances: Arc<Glances>,
    recent: Arc<Recent>,
}

/// The server behind the pages.
struct Behind {
    server: Arc<Server>,
    /// The API, to which requests come that were let in here.
    api: Router,
}

/// What a request for a page asks of.
type State = axum::extract::State<Arc<Site>>;

impl Site {
    /// The pages of a server, whose API it is.
    pub(super) fn of_server(server: &Arc<Server>, api: Router) -> Arc<Self> {
        let behind = Some(Behind { server: Arc::clone(server), api });
        let guard = Arc::clone(&server.guard);
        let door = Door::new(Arc::clone(&server.page_keys), guard.port());
        Arc::new(Self {
            engine: server.engine.clone(),
            behind,
            guard,
            door,
            glances: Arc::default(),
            recent: Arc::default(),
        })
    }

    /// Pages that can be looked at alone.
    pub(super) fn alone(engine: Engine, guard: Guard, keys: Arc<Keys>) -> Arc<Self> {
        let door = Door::new(keys, guard.port());
        Arc::new(Self {
            engine,
            behind: None,
            guard: Arc::new(guard),
            door,
            glances: Arc::default(),
            recent: Arc::default(),
        })
    }

    /// A turn to read records, of which there are so many at once.
    async fn turn(&self) -> Result<Option<Taken>, Problem> {
        match self.server() {
            Some(server) => Ok(Some(server.limits.read().await?)),
            None => Ok(None),
        }
    }

    /// Draws, which may take a while, where nothing waits for it but whoever asked.
    async fn drawn<T: Send + 'static>(
        self: &Arc<Self>,
        draw: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let site = Arc::clone(self);
        self.engine.blocking(move |_| draw(&site)).await
    }

    fn server(&self) -> Option<&Arc<Server>> {
        self.behind.as_ref().map(|behind| &behind.server)
    }
}

/// The pages.
pub(super) fn router(site: Arc<Site>) -> Router {
    let inside = Router::new()
        .route("/ui", get(runs::list))
        .route("/ui/runs/{run}", get(run::show))
        .route("/ui/runs/{run}/changes", get(live::changes))
        .route("/ui/runs/{run}/chat", get(run::chat))
        .route("/ui/runs/{run}/file", get(run::file))
        .route("/ui/runs/{run}/at/{slot}", get(run::at))
        .route("/ui/runs/{run}/whole/{slot}", get(run::whole))
        .route("/ui/runs/{run}/request/{slot}", get(run::request))
        .route("/ui/runs/{run}/{act}", post(acts::on_run))
        .route("/ui/compare", get(compare::compare))
        .route("/ui/agents", get(agents::list))
        .route("/ui/agents/{agent}", get(agents::show))
        .route("/ui/agents/{agent}/run", post(acts::begin))
        .route("/ui/agents/{agent}/call/{tool}", post(acts::call))
        .route("/ui/sessions", get(sessions::list))
        .route("/ui/sessions/{session}", get(sessions::show))
        .route("/ui/costs", get(sessions::costs))
        .route("/ui/{*rest}", get(missing))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), door::pass));
    let outside = Router::new()
        .route("/", get(async || Redirect::to("/ui")))
        .route("/ui/login", get(door::form).post(door::enter))
        .route("/ui/logout", post(door::leave))
        .route("/ui/enter", get(door::enter_by_key))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), door::admit));
    // Whoever keeps these for many gives none of them the cookie of another.
    let files = Router::new().route("/ui/assets/{version}/{name}", get(asset));
    inside.merge(outside).merge(files).layer(middleware::map_response(page::secured)).with_state(site)
}

async fn missing() -> Problem {
    Problem::new(Kind::Missing, "there is no such page").help("the list of runs is at /ui")
}

/// A style or a script. A browser keeps it: what is at this address never changes.
async fn asset(
    axum::extract::Path((version, name)): axum::extract::Path<(String, String)>,
) -> Result<Response, Problem> {
    let found = ui::asset(&name).filter(|_| version == *ui::VERSION);
    let asset = found.ok_or_else(|| Problem::new(Kind::Missing, "there is no such file"))?;
    let mut response = asset.text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}

/// Where a command on this machine asks for a key that opens the pages once.
#[cfg(feature = "cli")]
pub(crate) const KEY_PATH: [&str; 2] = ["ui", "key"];

/// The address that a key opens the pages at: at a run, if one is named.
pub(crate) fn entrance(url: &str, key: &str, run: Option<RunId>) -> String {
    let to = run.map(|run| format!("&to={run}")).unwrap_or_default();
    format!("{}/ui/enter?key={key}{to}", url.trim_end_matches('/'))
}

/// A key that opens the pages once, as whoever asks for it.
pub(super) async fn key(
    axum::extract::State(server): axum::extract::State<Arc<Server>>,
    axum::Extension(passed): axum::Extension<Passed>,
) -> Result<axum::Json<serde_json::Value>, Problem> {
    let key = server.page_keys.make(passed).map_err(|error| Problem::internal(&error))?;
    Ok(axum::Json(serde_json::json!({ "key": key })))
}
