//! What each address of a page answers.
//!
//! Every response says what a browser may do with it: nothing from elsewhere, no framing, no keeping. Reading files
//! blocks, and is done on threads for that.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::{self, BoxStream, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::door::{Door, Refused};
use super::folds::{Folds, path_of};
use super::{Answering, Site};
use crate::journal::{self, Listed};
use crate::record::RunStatus;
use crate::report::{Ending, Report, Shell, moment, policy, runs_fragment, shell};

/// Bytes of an answer, at most.
const ANSWER: usize = 64 * 1024;
/// Pages that look on at the same time.
const STREAMS: usize = 64;
/// How often a file is looked at.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Clone)]
struct App {
    site: Site,
    folds: Folds,
    door: Door,
    streams: Arc<Semaphore>,
    closed: watch::Receiver<bool>,
}

pub(super) fn router(
    site: Site,
    folds: Folds,
    door: Door,
    closed: watch::Receiver<bool>,
) -> Router {
    let app = App {
        site,
        folds,
        door,
        streams: Arc::new(Semaphore::new(STREAMS)),
        closed,
    };
    Router::new()
        .route("/", get(home))
        .route("/events", get(home_events))
        .route("/runs/{id}", get(run))
        .route("/runs/{id}/body", get(body))
        .route("/runs/{id}/ledger", get(ledger))
        .route("/runs/{id}/events", get(events))
        .route("/runs/{id}/answer", post(answer))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing here.\n") })
        .layer(DefaultBodyLimit::max(ANSWER))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
}

/// Lets in who may come in, before anything is read; and says in every response what a browser may do with it.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let checked = app.door.is_ours(request.method(), request.headers());
    let token = Query::<Token>::try_from_uri(request.uri());
    let token = token.ok().and_then(|query| query.0.token);
    let response = match (checked, token) {
        (Err(refused), _) => refused.into_response(),
        (Ok(()), token) => match (app.door.knows(request.headers()), token) {
            // Also with the address that let this browser in: a terminal's link is followed again.
            (Ok(()), _) => next.run(request).await,
            (Err(_), Some(token)) if request.uri().path() == "/" => enter(&app.door, &token),
            (Err(refused), _) => refused.into_response(),
        },
    };
    with_headers(response)
}

/// The page itself goes on to the list, so that the cookie counts as its own; the address with the token is left.
fn enter(door: &Door, token: &str) -> Response {
    const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url=/\"><title>Runs</title><p><a href=\"/\">Runs</a></p></html>";
    match door.exchange(token) {
        Ok(cookie) => ([(header::SET_COOKIE, cookie)], Html(PAGE)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = format!("{}; frame-ancestors 'none'", policy(true));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let rest = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in rest {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// Work that reads files, on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "A bug in runbook.\n"))
}

type Answer<T> = Result<T, (StatusCode, String)>;

fn said((code, text): Refused) -> (StatusCode, String) {
    (code, text.to_owned())
}

fn journal_of(app: &App, id: &str) -> Answer<PathBuf> {
    path_of(&app.site.folder, id).ok_or_else(|| {
        let text = "There is no such run in this folder.\n".to_owned();
        (StatusCode::NOT_FOUND, text)
    })
}

async fn home(State(app): State<App>) -> Answer<Html<String>> {
    let folder = app.site.folder.clone();
    let listed = blocking(move || {
        let shown = folder.display().to_string();
        journal::list_in(&folder).map(|listed| {
            let runs = listed.into_iter().map(line).collect();
            runs_fragment(&Value::Array(runs), &shown)
        })
    });
    let body = listed.await.map_err(said)?;
    let body = body.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
    let frame = Shell {
        title: "Runs",
        live: Some("/"),
    };
    Ok(Html(shell(frame, &body)))
}

/// A run as the list has it.
fn line(listed: Listed) -> Value {
    let id = listed.path.file_stem().unwrap_or_default();
    let id = id.to_string_lossy().into_owned();
    let (report, why) = match &listed.ends {
        Ok(ends) => (Report::of([&ends.first, &ends.last]), String::new()),
        Err(error) => (Report::new(), error.to_string()),
    };
    let (state, tone) = match &report.ending {
        _ if !why.is_empty() => ("unreadable", "bad"),
        _ if listed.running.is_some() => ("running", "plain"),
        Ending::Open => ("stopped", "warn"),
        Ending::Parked { .. } => ("parked", "warn"),
        Ending::Interrupted { .. } => ("interrupted", "warn"),
        Ending::Refused { .. } => ("refused", "bad"),
        Ending::Ended {
            status: RunStatus::Succeeded,
            ..
        } => ("succeeded", "good"),
        Ending::Ended { .. } => ("halted", "bad"),
    };
    let folder = listed.path.parent().unwrap_or(FilePath::new("."));
    let href = (why.is_empty() && path_of(folder, &id).is_some()).then(|| format!("/runs/{id}"));
    json!({
        "id": id, "href": href, "state": state, "tone": tone, "why": why,
        "runbook": report.run.runbook, "namespace": report.run.namespace,
        "opened": report.run.opened.map(moment), "last": report.last.map(moment),
    })
}

async fn fragment(app: &App, id: &str) -> Answer<String> {
    let path = journal_of(app, id)?;
    let folds = app.folds.clone();
    let who = app.site.answers.as_ref().map(|answers| answers.who());
    let shown = blocking(move || {
        folds.with(&path, |dossier, located| {
            dossier.fragment(located, who.as_deref())
        })
    });
    let shown = shown.await.map_err(said)?;
    shown.map_err(|why| (StatusCode::GONE, format!("{why}\n")))
}

async fn run(State(app): State<App>, Path(id): Path<String>) -> Answer<Html<String>> {
    let body = fragment(&app, &id).await?;
    let live = format!("/runs/{id}");
    let frame = Shell {
        title: &id,
        live: Some(&live),
    };
    Ok(Html(shell(frame, &body)))
}

async fn body(State(app): State<App>, Path(id): Path<String>) -> Answer<Html<String>> {
    fragment(&app, &id).await.map(Html)
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn ledger(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(since): Query<Since>,
) -> Answer<Response> {
    let path = journal_of(&app, &id)?;
    let folds = app.folds.clone();
    let written = blocking(move || {
        folds.with(&path, |dossier, _| {
            let mut out = Vec::new();
            let written = dossier.write_ledger(since.since, &mut out);
            written.map(|()| out).map_err(|error| error.to_string())
        })
    });
    let written = written.await.map_err(said)?.and_then(|written| written);
    let bytes = written.map_err(|why| (StatusCode::GONE, format!("{why}\n")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

async fn events(State(app): State<App>, Path(id): Path<String>) -> Answer<Response> {
    let path = journal_of(&app, &id)?;
    let tells = app.site.tells.as_ref();
    let progress = tells.map(|tells| tells.progress(&id));
    let progress = progress.unwrap_or_else(|| stream::empty().boxed());
    follow(&app, move || run_state(&path), progress)
}

async fn home_events(State(app): State<App>) -> Answer<Response> {
    let folder = app.site.folder.clone();
    let nothing = stream::empty().boxed();
    follow(&app, move || folder_state(&folder), nothing)
}

/// What tells one state of a file from another; none where it is gone.
type Seen = Option<Vec<(PathBuf, u64, Option<SystemTime>, bool)>>;

fn run_state(path: &FilePath) -> Seen {
    let facts = std::fs::symlink_metadata(path).ok()?;
    let held = journal::running(path).is_some();
    Some(vec![(
        path.to_owned(),
        facts.len(),
        facts.modified().ok(),
        held,
    )])
}

fn folder_state(folder: &FilePath) -> Seen {
    let entries = std::fs::read_dir(folder).ok();
    let mut seen = Vec::new();
    for entry in entries.into_iter().flatten().flatten() {
        let path = entry.path();
        // What is written all the time is told of by its own page.
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            seen.push((path, 0, None, false));
        }
    }
    seen.sort();
    Some(seen)
}

/// A stream that says when something is new. The reader is not waited for: what it missed is one event.
fn follow(
    app: &App,
    look: impl Fn() -> Seen + Send + Sync + 'static,
    progress: BoxStream<'static, String>,
) -> Answer<Response> {
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        let text = format!("{STREAMS} pages look on already.\n");
        (StatusCode::SERVICE_UNAVAILABLE, text)
    })?;
    let following = Following {
        look: Arc::new(look),
        before: None,
        number: 0,
        over: false,
        closed: app.closed.clone(),
        _permit: permit,
    };
    // JSON, as an event without a text is none to a browser.
    let progress = progress.map(|line| {
        let line = Value::String(line).to_string();
        Some(Ok(Event::default().event("progress").data(line)))
    });
    let over = stream::once(ready(None));
    let both = stream::select(told(following).map(Some).chain(over), progress);
    let until_over = both.take_while(|event| ready(event.is_some()));
    let stream = Sse::new(until_over.filter_map(ready)).keep_alive(KeepAlive::default());
    Ok(stream.into_response())
}

struct Following {
    look: Arc<dyn Fn() -> Seen + Send + Sync>,
    before: Option<Seen>,
    number: u64,
    over: bool,
    closed: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

fn told(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(following, |mut following| async move {
        if following.over {
            return None;
        }
        let event = following.next().await?;
        Some((Ok(event), following))
    })
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if *self.closed.borrow() {
                return None;
            }
            let look = Arc::clone(&self.look);
            let seen = tokio::task::spawn_blocking(move || look()).await.ok()?;
            if seen.is_none() {
                self.over = true;
                let gone = "The state file is no longer where it was.";
                return Some(Event::default().event("gone").data(gone));
            }
            let first = self.before.is_none();
            if self.before.as_ref() != Some(&seen) {
                self.before = Some(seen);
                self.number += 1;
                if !first {
                    let event = Event::default().event("records");
                    return Some(event.data(self.number.to_string()));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = self.closed.changed() => {}
            }
        }
    }
}

/// What the page's script sends.
#[derive(Deserialize)]
struct Submitted {
    question: u32,
    yes: bool,
    #[serde(default)]
    word: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    form: BTreeMap<String, String>,
}

async fn answer(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(submitted): Json<Submitted>,
) -> Answer<String> {
    // `Json` takes other types of JSON too; a form of another site can send none of them.
    debug_assert!(headers.contains_key(header::CONTENT_TYPE));
    journal_of(&app, &id)?;
    let Some(answers) = &app.site.answers else {
        let text = "Nobody can answer here.".to_owned();
        return Err((StatusCode::CONFLICT, text));
    };
    let answering = Answering {
        run: id,
        question: submitted.question,
        yes: submitted.yes,
        word: submitted.word,
        note: submitted.note,
        form: submitted.form,
    };
    let answered = answers.answer(answering).await;
    answered.map_err(|why| (StatusCode::CONFLICT, why))
}
