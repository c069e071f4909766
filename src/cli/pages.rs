//! `--http` of `serve`: the pages of runs, and answers given on them. Wiring.
//!
//! Who answers is the account that serves: whoever has the session was given the address that only it saw.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;

use super::Exit;
use super::listen::printed;
use crate::api::client::words;
use crate::api::v1::watch_run_response::Event;
use crate::api::{Events, PROGRESS_ONLY, Runs, Service, local, v1};
use crate::page::{Answering, Answers, Bound, Site, Tells};
use crate::record::{Through, Witness};
use crate::report::{count, harmless, time_of_day};
use crate::run::Interrupts;
use crate::ui::Ui;

/// Takes a port of this machine.
///
/// # Errors
/// [`Exit::Invalid`], with everything said.
pub async fn bind(address: &str, ui: &Ui) -> Result<Bound, Exit> {
    Bound::to(address).await.map_err(|why| {
        ui.error(&format!("--http: {why}"), None);
        Exit::Invalid
    })
}

/// Serves until a signal.
///
/// # Errors
/// [`Exit::Failed`], with everything said.
pub async fn serve(
    bound: Bound,
    folder: &Path,
    ui: &Ui,
    interrupts: &mut Interrupts,
) -> Result<(), Exit> {
    printed(ui.data(&format!("{}\n", bound.address())), ui)?;
    ui.hint("the address lets one browser in, once; Ctrl-C ends it");
    let service = ByService(Service::new(Runs::Folder(folder.to_owned())));
    let service = Arc::new(service);
    let site = Site {
        folder: folder.to_owned(),
        tells: Some(Arc::clone(&service) as Arc<dyn Tells>),
        answers: Some(service),
    };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = bound.serve(site, async {
        let _ = ended.await;
    });
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        _ = interrupts.recv() => {
            let _ = end.send(());
            // A browser that keeps its connection does not keep the process.
            let patience = std::time::Duration::from_secs(2);
            tokio::time::timeout(patience, serving).await.unwrap_or(Ok(()))
        }
    };
    served.map_err(|error| {
        ui.error(&format!("--http: {error}"), None);
        Exit::Failed
    })
}

/// As [`Service`] answers for whoever calls it.
struct ByService(Service);

impl ByService {
    /// Why a second yes is none: everybody on the page is one person.
    async fn agreed_already(&self, request: &v1::AnswerQuestionRequest) -> Option<String> {
        let (own, run) = (
            local(Through::Page),
            self.0.get(&request.run_id).await.ok()?,
        );
        let open = run
            .question
            .filter(|open| open.number == request.question)?;
        let (agreed, wanted) = (open.votes.len(), open.wanted);
        let mut votes = open.votes.into_iter().filter_map(|vote| vote.witness);
        let ours = votes.any(|vote| {
            let known = Witness {
                name: vote.name,
                from: vote.from,
                through: Through::Page,
            };
            known.is_same_person(&own)
        });
        (ours && wanted > 1).then(|| {
            format!(
                "{} agreed already, and is one person whatever the browser: somebody else must agree ({agreed} of \
                 {wanted}).",
                own.name
            )
        })
    }
}

impl Answers for ByService {
    fn who(&self) -> String {
        local(Through::Page).name
    }

    fn answer(&self, answering: Answering) -> BoxFuture<'_, Result<String, String>> {
        let answer = match answering.yes {
            true => v1::Answer::Yes,
            false => v1::Answer::No,
        };
        let request = v1::AnswerQuestionRequest {
            run_id: answering.run,
            question: answering.question,
            answer: answer.into(),
            word: answering.word,
            note: answering.note,
            form: answering.form.into_iter().collect(),
        };
        Box::pin(async move {
            if answering.yes
                && let Some(why) = self.agreed_already(&request).await
            {
                return Err(why);
            }
            let answered = self.0.answer(request, local(Through::Page)).await;
            answered
                .map(|standing| stands(&standing))
                .map_err(|status| words(&status))
        })
    }
}

/// Before a run is looked at again that nobody carried out.
const AGAIN: Duration = Duration::from_secs(2);

impl Tells for ByService {
    fn progress(&self, run: &str) -> BoxStream<'static, String> {
        let telling = Telling {
            service: self.0.clone(),
            run: run.to_owned(),
            events: None,
            told: String::new(),
        };
        let lines = stream::unfold(telling, |mut telling| async {
            Some((telling.news().await, telling))
        });
        lines.boxed()
    }
}

/// A run that is looked at for as long as a page is open, whoever carries it out.
struct Telling {
    service: Service,
    run: String,
    events: Option<Events>,
    /// The last line.
    told: String,
}

impl Telling {
    /// The next line that is another one.
    async fn news(&mut self) -> String {
        loop {
            match self.event().await {
                Some(event) => {
                    if let Some(line) = line(&event).filter(|line| *line != self.told) {
                        self.told.clone_from(&line);
                        return line;
                    }
                }
                None => {
                    self.events = None;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// None at the end of a watch, and where there can be none.
    async fn event(&mut self) -> Option<Event> {
        if self.events.is_none() {
            let request = v1::WatchRunRequest {
                run_id: self.run.clone(),
                from_seq: PROGRESS_ONLY,
                records_only: false,
            };
            self.events = self.service.watch(request).await.ok();
        }
        self.events.as_mut()?.next().await?.ok()?.event
    }
}

/// What a run is about; nothing where it has ended. Writes a second are on the page already, as they were measured.
fn line(event: &Event) -> Option<String> {
    let progress = match event {
        Event::Progress(progress) => progress,
        Event::End(_) => return Some(String::new()),
        Event::Record(_) => return None,
    };
    let mut parts = Vec::new();
    if !progress.step.is_empty() {
        parts.push(format!("Step {}", progress.step));
    }
    if progress.in_flight > 0 {
        parts.push(count(progress.in_flight.into(), "call") + " in flight");
    }
    if !progress.waiting_for.is_empty() {
        let until = progress.until.as_ref();
        let until = until.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
        let until = until.map_or_else(String::new, |at| format!(", until {}", time_of_day(at)));
        parts.push(format!(
            "waits for {}{until}",
            harmless(&progress.waiting_for)
        ));
    }
    Some(parts.join(", "))
}

fn stands(standing: &v1::AnswerQuestionResponse) -> String {
    let (agreed, wanted) = (standing.votes.len(), standing.wanted);
    match standing.answered {
        Some(_) => "Your answer stands.".to_owned(),
        None if wanted > 1 => format!("Your approval counts: {agreed} of {wanted}."),
        None => "Your answer counts when the run is resumed.".to_owned(),
    }
}
