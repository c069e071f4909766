//! `--http` of `serve`: the pages of runs, and answers given on them. Wiring.
//!
//! Who answers is the account that serves: whoever has the session was given the address that only it saw.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::Exit;
use super::listen::printed;
use crate::api::client::words;
use crate::api::{Runs, Service, local, v1};
use crate::page::{Answering, Answers, Bound, Site};
use crate::record::Through;
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
    let site = Site {
        folder: folder.to_owned(),
        answers: Some(Arc::new(ByService(Service::new(Runs::Folder(
            folder.to_owned(),
        ))))),
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

impl Answers for ByService {
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
            let answered = self.0.answer(request, local(Through::Page)).await;
            answered
                .map(|standing| stands(&standing))
                .map_err(|status| words(&status))
        })
    }
}

fn stands(standing: &v1::AnswerQuestionResponse) -> String {
    let (agreed, wanted) = (standing.votes.len(), standing.wanted);
    match standing.answered {
        Some(_) => "Your answer stands.".to_owned(),
        None if wanted > 1 => format!("Your approval counts: {agreed} of {wanted}."),
        None => "Your answer counts when the run is resumed.".to_owned(),
    }
}
