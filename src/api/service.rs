//! RunService: what each call does. Whoever calls was authenticated before ([`super::identity`]).
//!
//! A run of this process is answered at its desk. One of another process is answered through that process's own
//! socket, where it listens. One that nobody carries out is answered in its journal, and counts when it is resumed.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::folded::{Folds, question_of, terms};
use super::identity;
use super::runs::{Found, Runs};
use super::upstream::Upstreams;
use super::v1::{self, run_service_server::RunService};
use super::watch::{self, Events, Subject, Tells, blocking};
use super::{address, client, slots, view};
use crate::desk::{Desk, OpenQuestion, Refusal, Submission, vote_while_parked};
use crate::journal;
use crate::record::{self, Witness};
use crate::runbook::outputs;

/// Watchers at the same time, at most.
const WATCHERS: usize = 256;

/// The service. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    runs: Runs,
    folds: Folds,
    upstreams: Upstreams,
    watchers: Arc<Semaphore>,
    most_watchers: usize,
}

impl Service {
    /// Of these runs.
    pub fn new(runs: Runs) -> Self {
        let most_watchers = slots::share().min(WATCHERS);
        Self {
            inner: Arc::new(Inner {
                runs,
                folds: Folds::default(),
                upstreams: Upstreams::default(),
                watchers: Arc::new(Semaphore::new(most_watchers)),
                most_watchers,
            }),
        }
    }

    async fn find(&self, id: &str) -> Result<Found, Status> {
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        on_a_thread(move || inner.runs.find(&id)).await?
    }

    /// A page of runs.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub async fn list(&self, request: v1::ListRunsRequest) -> Result<v1::ListRunsResponse, Status> {
        let inner = Arc::clone(&self.inner);
        let page = blocking(move || inner.runs.list(request.page_size, &request.page_token));
        let (runs, next_page_token) = page.await?;
        Ok(v1::ListRunsResponse {
            runs,
            next_page_token,
        })
    }

    /// How a run stands.
    ///
    /// # Errors
    /// As the file of the service in `proto/` lists them; of the other calls, too.
    pub async fn get(&self, id: &str) -> Result<v1::GetRunResponse, Status> {
        let found = self.find(id).await?;
        let inner = Arc::clone(&self.inner);
        let path = found.path.clone();
        let mut run = blocking(move || {
            inner
                .folds
                .with(&path, |fold| fold.view(&path, Timestamp::now()))
        })
        .await?;
        if let Some(own) = found.own {
            let asked = run.question.take().and_then(|question| question.asked);
            run.question = own.desk.open().map(|open| v1::Question {
                asked,
                ..question(&open)
            });
        }
        Ok(run)
    }

    /// The events of a run. Its records are read here; how far it is, the process says that carries it out.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub async fn watch(&self, request: v1::WatchRunRequest) -> Result<Events, Status> {
        let found = self.find(&request.run_id).await?;
        let watchers = Arc::clone(&self.inner.watchers);
        let permit = watchers.try_acquire_owned().map_err(|_| {
            let most = self.inner.most_watchers;
            Status::resource_exhausted(format!("{most} watchers look on already"))
        })?;
        let tells = match found.own {
            Some(own) => Tells::Own(own.feed.signals()),
            None if request.records_only => Tells::Nothing,
            None => {
                let upstreams = &self.inner.upstreams;
                Tells::elsewhere(upstreams.of(&found.path))
            }
        };
        watch::events(Subject {
            tells,
            path: found.path,
            from: request.from_seq,
            records_only: request.records_only,
            _permit: Some(permit),
        })
        .await
    }

    /// Answers a question for `witness`.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub async fn answer(
        &self,
        request: v1::AnswerQuestionRequest,
        witness: Witness,
    ) -> Result<v1::AnswerQuestionResponse, Status> {
        let found = self.find(&request.run_id).await?;
        if let Some(own) = found.own {
            let what = own.desk.open().map(|open| open.asking.what);
            let submission = submission(&request, witness, what.as_ref())?;
            own.desk
                .answer(submission)
                .await
                .map_err(|why| refused(&why, &own.path))?;
            return self
                .standing(own.path, request.question, Some(&own.desk))
                .await;
        }
        if journal::running(&found.path).is_some() {
            let (mut run, run_id) = self.elsewhere(&found, Wish::Answer).await?;
            let mut request = Request::new(v1::AnswerQuestionRequest { run_id, ..request });
            identity::send_for(&mut request, &witness);
            return Ok(run.answer_question(request).await?.into_inner());
        }
        self.answer_parked(found.path, request, witness).await
    }

    async fn answer_parked(
        &self,
        path: PathBuf,
        request: v1::AnswerQuestionRequest,
        witness: Witness,
    ) -> Result<v1::AnswerQuestionResponse, Status> {
        let open = self.get(&request.run_id).await?.question;
        let what = open.and_then(|open| serde_json::from_str(&open.json).ok());
        let submission = submission(&request, witness, what.as_ref())?;
        let at = path.clone();
        let voted = on_a_thread(move || vote_while_parked(&at, submission, Timestamp::now()));
        voted.await?.map_err(|why| refused(&why, &path))?;
        self.standing(path, request.question, None).await
    }

    /// How a question stands after an answer: what the records say.
    async fn standing(
        &self,
        path: PathBuf,
        question: u32,
        desk: Option<&Desk>,
    ) -> Result<v1::AnswerQuestionResponse, Status> {
        let inner = Arc::clone(&self.inner);
        let wanted = desk
            .and_then(Desk::open)
            .map(|open| open.asking.ballot.agreement.by);
        let standing = blocking(move || {
            inner.folds.with(&path, |fold| v1::AnswerQuestionResponse {
                answered: fold.answered(question),
                votes: fold.votes(question, Timestamp::now()),
                wanted: wanted.unwrap_or_else(|| fold.wanted(question)),
            })
        });
        standing.await
    }

    /// Stops a run for `witness`.
    ///
    /// # Errors
    /// As [`Service::get`].
    pub async fn stop(&self, id: &str, witness: Witness) -> Result<(), Status> {
        let found = self.find(id).await?;
        if let Some(own) = found.own {
            return own
                .desk
                .stop(&witness)
                .map_err(|why| refused(&why, &own.path));
        }
        if journal::running(&found.path).is_none() {
            let path = found.path;
            let end = blocking(move || view::end(&path)).await?;
            return Err(Status::failed_precondition(nothing_to_stop(id, &end)));
        }
        let (mut run, run_id) = self.elsewhere(&found, Wish::Stop).await?;
        let mut request = Request::new(v1::StopRunRequest { run_id });
        identity::send_for(&mut request, &witness);
        run.stop_run(request).await?;
        Ok(())
    }

    /// The process that carries a run out, where it listens on this machine, and what it calls the run: here it may have
    /// been found by its file's name.
    async fn elsewhere(
        &self,
        found: &Found,
        wish: Wish,
    ) -> Result<(client::Client, String), Status> {
        let holder = journal::running(&found.path).flatten();
        let who = holder.as_ref();
        let who = who.map_or_else(|| "another process".to_owned(), ToString::to_string);
        match address::announced(&found.path) {
            Some(at @ super::Address::Unix(_)) => {
                let target = client::Target::plain(at.clone());
                let client = client::connect(&target).await.map_err(|why| {
                    Status::unavailable(format!("{who} listens on {at}, but: {why}"))
                })?;
                let path = found.path.clone();
                let run = blocking(move || Ok(journal::read(&path)?.run().0.clone()));
                Ok((client, run.await?))
            }
            Some(at) => Err(Status::failed_precondition(format!(
                "the run is carried out by {who}, which listens on {at}: {}",
                wish.there(&at)
            ))),
            None => Err(Status::failed_precondition(format!(
                "the run is carried out by {who}, which does not listen: {}",
                wish.otherwise(holder.as_ref())
            ))),
        }
    }
}

/// What somebody wants of a run.
#[derive(Clone, Copy)]
enum Wish {
    Answer,
    Stop,
}

impl Wish {
    /// What to do where the process listens, and not for this machine alone.
    fn there(self, at: &address::Address) -> String {
        match self {
            Self::Answer => "answer there".to_owned(),
            Self::Stop => {
                format!("stop it there, with --connect {at} and a certificate of yours")
            }
        }
    }

    /// What to do where the process does not listen.
    fn otherwise(self, holder: Option<&journal::Holder>) -> String {
        match (self, holder) {
            (Self::Answer, _) => {
                "answer at its terminal, or end it and go on with `runbook resume --listen`"
                    .to_owned()
            }
            (Self::Stop, None) => "press Ctrl-C at its terminal".to_owned(),
            (Self::Stop, Some(journal::Holder { pid, host, .. })) => {
                format!("press Ctrl-C at its terminal, or `kill -INT {pid}` on {host}")
            }
        }
    }
}

/// Why a run that nobody carries out is not stopped.
fn nothing_to_stop(id: &str, end: &v1::End) -> String {
    let stands = match end.state() {
        v1::RunState::Succeeded => "has succeeded",
        v1::RunState::Parked => "is parked, and nobody carries it out",
        v1::RunState::Interrupted => "was stopped before",
        v1::RunState::Stopped => "goes on no more: its process ended without a word",
        v1::RunState::Refused => "never began",
        _ => "has halted",
    };
    let because = match end.reason.as_str() {
        "" => String::new(),
        reason => format!(" ({reason})"),
    };
    format!("run {id} {stands}{because}: there is nothing to stop")
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::internal("a bug in runbook: a thread of it ended"))
}

/// What is open at a desk.
fn question(open: &OpenQuestion) -> v1::Question {
    let asking = &open.asking;
    let votes = asking.ballot.votes.iter().map(|vote| v1::Vote {
        question: asking.question,
        witness: Some(view::witness(&vote.witness)),
        at: None,
    });
    v1::Question {
        number: asking.question,
        step: asking.place.step.clone(),
        iteration: asking.place.iteration,
        title: asking.title.clone(),
        terms: terms(&asking.terms),
        word: asking.word.clone().unwrap_or_default(),
        votes: votes.collect(),
        wanted: asking.ballot.agreement.by,
        not_starter: asking.ballot.agreement.not_starter,
        ..question_of(&asking.what)
    }
}

/// An answer as the desk takes it: fields of the form get their types here.
fn submission(
    request: &v1::AnswerQuestionRequest,
    witness: Witness,
    what: Option<&record::Question>,
) -> Result<Submission, Status> {
    let answer = match request.answer() {
        v1::Answer::Yes => record::Answer::Yes,
        v1::Answer::No => record::Answer::No,
        v1::Answer::Unspecified => {
            return Err(Status::invalid_argument("answer: neither yes nor no"));
        }
    };
    if request.question == 0 {
        let message = "question: say which one is meant; GetRun has its number";
        return Err(Status::invalid_argument(message));
    }
    let mut form = Map::new();
    for (name, text) in &request.form {
        form.insert(name.clone(), entered(what, name, text)?);
    }
    Ok(Submission {
        question: request.question,
        answer,
        word: (!request.word.is_empty()).then(|| request.word.clone()),
        note: request.note.clone(),
        form,
        witness,
    })
}

fn entered(what: Option<&record::Question>, name: &str, text: &str) -> Result<Value, Status> {
    let field = match what {
        Some(record::Question::Manual { form, .. }) => form.get(name),
        // It was answered meanwhile: the desk says so, whatever was entered.
        None => return Ok(Value::String(text.to_owned())),
        Some(_) => None,
    };
    let Some(field) = field else {
        let message = format!("form: the question has no field `{name}`");
        return Err(Status::invalid_argument(message));
    };
    outputs::typed(field, text)
        .map_err(|why| Status::invalid_argument(format!("form: {name}: {why}")))
}

/// Why an answer is not taken, with what to do.
fn refused(refusal: &Refusal, path: &std::path::Path) -> Status {
    let message = format!("{refusal}; {}", refusal.hint());
    match refusal {
        Refusal::Unknown { .. }
        | Refusal::Late { .. }
        | Refusal::Conflicting
        | Refusal::Held(_) => Status::failed_precondition(message),
        Refusal::Over(why) => {
            let run = journal::read(path)
                .ok()
                .map(|records| records.run().clone());
            let line = run.map(|run| journal::resume_line(path, &run));
            Status::failed_precondition(match line {
                Some(line) if why.contains("resume") => format!("{why} with: {line}"),
                _ => message,
            })
        }
        Refusal::Word { .. } | Refusal::Form(_) => Status::invalid_argument(message),
        Refusal::NotAllowed(_) => Status::permission_denied(message),
        Refusal::Journal(_) => Status::internal(message),
    }
}

#[tonic::async_trait]
impl RunService for Service {
    type WatchRunStream = Events;

    async fn list_runs(
        &self,
        request: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        identity::witness(&request)?;
        self.list(request.into_inner()).await.map(Response::new)
    }

    async fn get_run(
        &self,
        request: Request<v1::GetRunRequest>,
    ) -> Result<Response<v1::GetRunResponse>, Status> {
        identity::witness(&request)?;
        self.get(&request.into_inner().run_id)
            .await
            .map(Response::new)
    }

    async fn watch_run(
        &self,
        request: Request<v1::WatchRunRequest>,
    ) -> Result<Response<Events>, Status> {
        identity::witness(&request)?;
        self.watch(request.into_inner()).await.map(Response::new)
    }

    async fn answer_question(
        &self,
        request: Request<v1::AnswerQuestionRequest>,
    ) -> Result<Response<v1::AnswerQuestionResponse>, Status> {
        let witness = identity::witness(&request)?;
        let answered = self.answer(request.into_inner(), witness).await;
        answered.map(Response::new)
    }

    async fn stop_run(
        &self,
        request: Request<v1::StopRunRequest>,
    ) -> Result<Response<v1::StopRunResponse>, Status> {
        let witness = identity::witness(&request)?;
        self.stop(&request.into_inner().run_id, witness).await?;
        Ok(Response::new(v1::StopRunResponse {}))
    }
}
