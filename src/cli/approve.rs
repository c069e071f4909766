//! `runbook approve RUN STEP`: answers what a run asks, from anywhere.
//!
//! The question is shown as the run's own terminal shows it; then somebody answers, at this terminal or by flags. Whose
//! answer it is says the server: the account at the other end of the socket, or the certificate. Wiring.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::listen::{ConnectFlags, printed, told};
use super::session;
use super::{Exit, Output};
use crate::api::client::{self, Client, Target, Unreached};
use crate::api::{Address, Runs, Service, announced, local, v1};
use crate::approval::Ballot;
use crate::journal;
use crate::record::{Place, Question, Through, Witness};
use crate::report::{harmless, question_text};
use crate::run::{Asking, Interrupts, Operator as _, Reply};
use crate::runbook::Agreement;
use crate::ui::{TerminalOperator, Tone, Ui};

/// Answer what a run asks, wherever it runs
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run id, a beginning of it that no other run has, or the state file's path
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The step that asks
    #[arg(value_name = "STEP")]
    pub step: String,
    /// Agree, without being asked here
    #[arg(long, conflicts_with = "no")]
    pub yes: bool,
    /// Do not agree
    #[arg(long, alias = "decline")]
    pub no: bool,
    /// Agree with the word that the step wants typed
    #[arg(long, value_name = "WORD", conflicts_with = "no")]
    pub confirm: Option<String>,
    /// Goes into the journal with the answer
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,
    /// Fill in a field of a manual task's form; repeatable
    #[arg(long, value_name = "FIELD=VALUE")]
    pub answer: Vec<String>,
    /// Where
    #[command(flatten)]
    pub connect: ConnectFlags,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, ui: &Ui, output: Output) -> Exit {
    session::perform(ui, |interrupts| async {
        approve(arguments, ui, output, interrupts)
            .await
            .unwrap_or_else(|exit| exit)
    })
}

/// Who takes the answer.
enum Clerk {
    /// A server, or the run's own process.
    Remote(Box<Client>, String),
    /// This process: the run is parked, and its state file is here.
    Here(Service, String),
}

impl Clerk {
    fn run_id(&self) -> String {
        let (Self::Remote(_, id) | Self::Here(_, id)) = self;
        id.clone()
    }

    async fn get(&mut self) -> Result<v1::GetRunResponse, tonic::Status> {
        let run_id = self.run_id();
        match self {
            Self::Remote(client, _) => Ok(client
                .get_run(v1::GetRunRequest { run_id })
                .await?
                .into_inner()),
            Self::Here(service, _) => service.get(&run_id).await,
        }
    }

    async fn answer(
        &mut self,
        request: v1::AnswerQuestionRequest,
        witness: Witness,
    ) -> Result<v1::AnswerQuestionResponse, tonic::Status> {
        match self {
            Self::Remote(client, _) => Ok(client.answer_question(request).await?.into_inner()),
            Self::Here(service, _) => service.answer(request, witness).await,
        }
    }
}

async fn approve(
    arguments: &Arguments,
    ui: &Ui,
    output: Output,
    mut interrupts: Interrupts,
) -> Result<Exit, Exit> {
    let work = async {
        let mut clerk = clerk(arguments, ui).await?;
        let found = clerk.get().await.map_err(|status| told(&status, ui))?;
        let question = open(&found, arguments, ui)?;
        let form = form(arguments, ui)?;
        let asking = asking(&found, &question, ui)?;
        let request = v1::AnswerQuestionRequest {
            run_id: clerk.run_id(),
            question: question.number,
            note: arguments.note.clone(),
            form,
            ..v1::AnswerQuestionRequest::default()
        };
        let request = answered(arguments, request, &asking, &question, ui).await?;
        let through = match ui.is_interactive() && !by_flag(arguments) {
            true => Through::Terminal,
            false => Through::Flag,
        };
        let standing = clerk.answer(request, local(through)).await;
        let standing = standing.map_err(|status| told(&status, ui))?;
        tell(&standing, ui, output)
    };
    session::unless_interrupted(&mut interrupts, None, ui, work).await
}

fn by_flag(arguments: &Arguments) -> bool {
    arguments.yes || arguments.no || arguments.confirm.is_some()
}

async fn clerk(arguments: &Arguments, ui: &Ui) -> Result<Clerk, Exit> {
    let called = |target: Target, id: String| async move {
        match client::connect(&target).await {
            Ok(client) => Ok(Clerk::Remote(Box::new(client), id)),
            Err(Unreached::Usage(why)) => {
                ui.error(&why, None);
                Err(Exit::Invalid)
            }
            Err(Unreached::Refused(why)) => Err(session::failed(&why, ui)),
        }
    };
    if let Some(target) = arguments.connect.target(ui)? {
        return called(target, arguments.run.clone()).await;
    }
    let path = journal::find(&arguments.run).map_err(|error| session::refused(&error, ui))?;
    let records = journal::read(&path).map_err(|error| session::refused(&error, ui))?;
    let id = records.run().0.clone();
    if let Some(address @ Address::Unix(_)) = announced(&path) {
        return called(Target::plain(address), id).await;
    }
    Ok(Clerk::Here(Service::new(Runs::File(path)), id))
}

/// The question that the run asks, where it is that step's.
fn open(found: &v1::GetRunResponse, arguments: &Arguments, ui: &Ui) -> Result<v1::Question, Exit> {
    let step = &arguments.step;
    let refuse = |message: String, hint: &str| {
        ui.error(&message, Some(hint));
        Err(Exit::Refused)
    };
    match &found.question {
        Some(question) if question.step == *step => Ok(question.clone()),
        Some(question) => refuse(
            format!(
                "the run does not ask about `{step}` now, but about `{}`",
                question.step
            ),
            &format!("it asks: {}", question.summary),
        ),
        None => {
            let of_step = |answer: &&v1::Answered| answer.question != 0;
            let last = found.answers.iter().rev().find(of_step);
            let hint = last.map_or_else(
                || "`runbook show` says how it stands".to_owned(),
                |last| format!("the last answer: {}", answer_words(last)),
            );
            refuse("the run asks nothing now".to_owned(), &hint)
        }
    }
}

fn asking(found: &v1::GetRunResponse, question: &v1::Question, ui: &Ui) -> Result<Asking, Exit> {
    let what: Question = serde_json::from_str(&question.json).map_err(|_| {
        let message = "the question is of a kind that this version of runbook does not know";
        ui.error(message, Some("use the version that carries the run out"));
        Exit::Refused
    })?;
    let run = found.run.clone().unwrap_or_default();
    Ok(Asking {
        question: question.number,
        place: Place {
            step: question.step.clone(),
            iteration: question.iteration,
        },
        what,
        title: question.title.clone(),
        word: Some(question.word.clone()).filter(|word| !word.is_empty()),
        address: run.address,
        namespace: run.namespace,
        terms: Default::default(),
        // Who may answer is the server's to say.
        ballot: Ballot {
            agreement: Agreement::default(),
            ..Ballot::default()
        },
    })
}

/// What was answered, here or by flags.
async fn answered(
    arguments: &Arguments,
    request: v1::AnswerQuestionRequest,
    asking: &Asking,
    question: &v1::Question,
    ui: &Ui,
) -> Result<v1::AnswerQuestionRequest, Exit> {
    if let Some(line) = wanted_line(question) {
        ui.line(Tone::Strong, &line);
    }
    if by_flag(arguments) {
        let style = ui.err_style();
        let Asking {
            what,
            place,
            title,
            address,
            namespace,
            ..
        } = asking;
        ui.say(&question_text(
            what,
            &place.step,
            title,
            address,
            namespace,
            style,
        ));
        let answer = match arguments.no {
            true => v1::Answer::No,
            false => v1::Answer::Yes,
        };
        return Ok(v1::AnswerQuestionRequest {
            answer: answer.into(),
            word: arguments.confirm.clone().unwrap_or_default(),
            ..request
        });
    }
    let operator = TerminalOperator::new(ui.clone(), local(Through::Terminal));
    match operator.ask(asking).await {
        Reply::Yes { note, form, .. } => {
            let mut all = request.form;
            all.extend(
                form.iter()
                    .map(|(name, value)| (name.clone(), typed(value))),
            );
            Ok(v1::AnswerQuestionRequest {
                answer: v1::Answer::Yes.into(),
                word: asking.word.clone().unwrap_or_default(),
                note: if note.is_empty() { request.note } else { note },
                form: all,
                ..request
            })
        }
        Reply::No { .. } => Ok(v1::AnswerQuestionRequest {
            answer: v1::Answer::No.into(),
            ..request
        }),
        Reply::Interrupted => Err(Exit::Interrupted),
        Reply::Nobody => {
            ui.error(
                "nobody can be asked here: there is no terminal",
                Some("say --yes, --confirm WORD or --no"),
            );
            Err(Exit::Parked)
        }
    }
}

/// A value as a person types it.
fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(typed).collect::<Vec<_>>().join(","),
        Value::Object(entries) => entries_typed(entries),
        other => other.to_string(),
    }
}

fn entries_typed(entries: &Map<String, Value>) -> String {
    let entries = entries.iter();
    let typed = entries.map(|(key, value)| format!("{key}={}", typed(value)));
    typed.collect::<Vec<_>>().join(",")
}

fn form(arguments: &Arguments, ui: &Ui) -> Result<HashMap<String, String>, Exit> {
    let mut form = HashMap::new();
    for given in &arguments.answer {
        let Some((field, value)) = given.split_once('=') else {
            let message = format!("`--answer {given}` names no field and value");
            ui.error(&message, Some("expected `--answer FIELD=VALUE`"));
            return Err(Exit::Invalid);
        };
        form.insert(field.to_owned(), value.to_owned());
    }
    Ok(form)
}

/// How many people must agree, where that is more than anybody.
fn wanted_line(question: &v1::Question) -> Option<String> {
    if question.wanted <= 1 && !question.not_starter {
        return None;
    }
    let starter = match question.not_starter {
        true => ", none of whom began or resumed the run",
        false => "",
    };
    Some(format!(
        "{}{starter}",
        votes_line(&question.votes, question.wanted.max(1))
    ))
}

fn votes_line(votes: &[v1::Vote], wanted: u32) -> String {
    let names: Vec<&str> = votes
        .iter()
        .filter_map(|vote| vote.witness.as_ref())
        .map(|witness| witness.name.as_str())
        .collect();
    let agreed = match names.as_slice() {
        [] => String::new(),
        names => format!(": {}", names.join(", ")),
    };
    format!("{} of {wanted} people agreed{agreed}", votes.len())
}

fn answer_words(answered: &v1::Answered) -> String {
    let word = match answered.answer() {
        v1::Answer::No => "no",
        _ => "yes",
    };
    match &answered.witness {
        Some(witness) => format!("{word}, by {}", harmless(&witness.name)),
        None => word.to_owned(),
    }
}

/// What stands now.
fn tell(standing: &v1::AnswerQuestionResponse, ui: &Ui, output: Output) -> Result<Exit, Exit> {
    let words = match &standing.answered {
        Some(answered) => format!("Answered: {}", answer_words(answered)),
        None if standing.wanted > 1 => format!(
            "Noted: {}; more must",
            votes_line(&standing.votes, standing.wanted)
        ),
        None => format!(
            "Noted: {}; it counts when the run is resumed",
            votes_line(&standing.votes, standing.wanted.max(1))
        ),
    };
    match output {
        Output::Text => ui.line(Tone::Good, &words),
        Output::Json => {
            let names = standing
                .votes
                .iter()
                .filter_map(|vote| vote.witness.as_ref());
            let value = serde_json::json!({
                "answered": standing.answered.as_ref().map(|it| it.answer() == v1::Answer::Yes),
                "agreed": names.map(|witness| &witness.name).collect::<Vec<_>>(),
                "wanted": standing.wanted,
            });
            printed(super::print_json(ui, &value), ui)?;
        }
    }
    Ok(Exit::Done)
}
