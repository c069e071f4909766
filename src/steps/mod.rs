//! Which effect comes next: the fold of the journal, and what follows from it.
//!
//! Pure: no I/O, no clock (time comes in), no async. [`Machine::next`] names a batch of effects that
//! fit the free slots; [`Machine::complete`] takes in what became of one and writes down the facts that
//! follow. Facts are folded at once and handed out by [`Machine::take_outbox`]; the caller makes them
//! durable before it performs an effect. `exec` on an empty journal and `resume` on a full one are the
//! same: fold, attach, go on.
//!
//! - [`effects`]: what the machine names, and what comes back.
//! - [`state`]: the durable fold of each step.
//! - [`walk`]: which step is at work; loops, conditions, endings.
//! - [`service`]: steps that are one call of an action on the service.
//! - [`manual`]: steps that a person does.
//! - [`waiting`]: conditions and waits.
//! - [`command`]: steps that run a program on this machine.
//! - [`apply`]: steps over Workflows: survey, question, looks, passes.
//! - [`listing`]: what a step's Workflows are read from, and claims.
//! - [`taking`]: what becomes of looks and writes: intents, outcomes, limits.
//! - [`batch`]: steps over Workflows that a batch job of the service carries out.
//! - [`job`]: a batch job, started, followed, compared with.
//! - [`canary`]: the first few of each row, then proof.
//! - [`closed`]: until what earlier steps took is closed.
//! - [`verify`]: health of what earlier steps recovered.
//! - [`lock`]: the lock that a run has while it is not over.
//! - [`asking`]: questions, and who must agree.
//! - [`notice`]: whom to tell when a run stops.

pub mod apply;
pub mod batch;
pub mod canary;
pub mod closed;
pub mod command;
pub mod effects;
pub mod listing;
pub mod lock;
pub mod manual;
pub mod job;
pub mod service;
pub mod state;
pub mod taking;
pub mod verify;
pub mod waiting;
pub mod walk;
pub mod asking;
pub mod notice;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::approval::Permit;
use crate::catalog::{self, Kind, Named, OfLedger, Select, Subject};
use crate::decision::Table;
use crate::plan::{Plan, TableSurvey};
use crate::record::{
    Account, Body, Claim, Flags, Ordinal, Place, Record, RunId, SavedFrom, StepStatus, Write,
};
use crate::runbook::{EvalError, Parameters, Runbook, Scope, Step, StepBody};
use crate::selection::reader::Cursor;
use crate::survey::WorkflowKey;
pub use effects::{
    Act, Completion, Effect, Finish, Judged, ListedPage, Next, Observation, Problem, Room, Written,
};
use state::State;

/// Everything that a run knows, and nothing of what it touches.
pub struct Machine {
    pub(crate) runbook: Arc<Runbook>,
    pub(crate) plan: Plan,
    saved: Option<SavedFrom>,
    pub(crate) run: RunId,
    pub(crate) dry: bool,
    /// Durable.
    pub(crate) state: State,
    /// Volatile.
    memory: Memory,
    outbox: Vec<Record>,
    now: Timestamp,
}

/// What only this attachment knows: it may be lost.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Workflows with a call in flight.
    pub busy: BTreeSet<Ordinal>,
    /// Steps with a call of their own in flight (observe, act, survey, list).
    pub calling: BTreeSet<String>,
    /// A question is open.
    pub asking: Option<u32>,
    /// The word that it wants.
    pub word: Option<String>,
    /// Somebody agreed to it, and more people must.
    pub put_again: bool,
    /// The count that the step at work waits for held when it was last read.
    pub held_once: bool,
    /// Steps whose program was started in this attachment.
    pub repeated: BTreeSet<String>,
    /// Somebody said no to a step.
    pub declined: BTreeSet<String>,
    /// Latest observation of a step.
    pub observed: BTreeMap<Place, Observation>,
    /// Tries and when the next one is due.
    pub tries: BTreeMap<Place, (u32, Timestamp)>,
    /// Surveys that a question needs.
    pub surveys: BTreeMap<String, TableSurvey>,
    /// Tables, prepared.
    pub tables: BTreeMap<String, Arc<Table>>,
    /// The listing in progress.
    pub listing: Option<listing::Listing>,
    /// Workflows that wait for a canary or a grant, and their row.
    pub held: BTreeMap<Ordinal, apply::Held>,
    /// When a Workflow was looked at, and its write (of those with a fresh intent whose call has not left).
    pub permits: BTreeMap<Ordinal, (Timestamp, Permit<Write>)>,
    /// Transient failures of a look, by Workflow: tries and when the next one is due.
    pub again: BTreeMap<Ordinal, (u32, Timestamp)>,
    /// Writes that were found not to have happened, by Workflow.
    pub fruitless: BTreeMap<Ordinal, u32>,
    /// Why the step at work must halt.
    pub halt: Option<String>,
    /// Rendered arguments of the step at work, where it comes back to them.
    pub rendered: Option<(Place, Value)>,
    /// A round of verification.
    pub round: Option<verify::Round>,
    /// A row whose canaries are all unproven, and how many they are: to be asked about.
    pub canary_question: Option<(String, u32)>,
    /// Canary looks.
    pub canary_due: BTreeMap<Ordinal, Timestamp>,
    /// Nothing new is started; why.
    pub stopping: Option<String>,
    /// The run parks; for what.
    pub parking: Option<String>,
    /// Looks that a dry run took, by row.
    pub dry_looks: BTreeMap<String, usize>,
    /// Writes in this attachment (`--limit`).
    pub writes: u64,
    /// How far the batch job at work is, in words.
    pub job_status: String,
    /// Times in a row that the service did not say it.
    pub job_troubles: u32,
    /// The lock.
    pub lock: lock::Memory,
}

impl Machine {
    /// A run of `plan`, nothing folded yet.
    pub fn new(
        runbook: Arc<Runbook>,
        plan: Plan,
        parameters: Parameters,
        run: RunId,
        dry: bool,
    ) -> Self {
        let state = State::new(&runbook, parameters);
        Self {
            runbook,
            plan,
            saved: None,
            run,
            dry,
            state,
            memory: Memory::default(),
            outbox: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// Its plan was saved before: the first record says so.
    #[must_use]
    pub fn of_saved(mut self, saved: Option<SavedFrom>) -> Self {
        self.saved = saved;
        self
    }

    /// Folds a record that is in the journal already.
    pub fn fold(&mut self, record: &Record) -> Result<(), String> {
        self.fold_record(record)
            .map_err(|error| format!("record {}: {error}", record.seq))
    }

    fn fold_record(&mut self, record: &Record) -> Result<(), String> {
        self.state.fold(record)?;
        if let Body::Attached { flags, .. } = &record.body {
            for (name, entries) in &flags.entries {
                for (key, text) in entries {
                    let added = self
                        .state
                        .parameters
                        .set_entry(&self.runbook, name, key, text);
                    added.map_err(|diagnostic| diagnostic.message)?;
                }
            }
        }
        Ok(())
    }

    /// The fold, to read.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The runbook.
    pub fn runbook(&self) -> &Runbook {
        &self.runbook
    }

    /// The run's id.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Opens a new journal.
    pub fn open(&mut self, tool: &str, rehearsal: bool, now: Timestamp) {
        self.now = now;
        let plan = serde_json::to_value(&self.plan).unwrap_or_default();
        self.emit(Body::Opened {
            format: crate::record::FORMAT,
            run: self.run.clone(),
            plan: Box::new(plan),
            tool: tool.to_owned(),
            dry: self.dry,
            rehearsal,
            saved: self.saved.clone(),
        });
    }

    /// Somebody runs it from now on: orphaned intents are in doubt, halted steps are taken up again.
    pub fn attach(
        &mut self,
        host: &str,
        pid: u32,
        user: impl Into<Account>,
        flags: Flags,
        notes: Vec<String>,
        now: Timestamp,
    ) {
        self.now = now;
        let user = user.into();
        let attachment = self.state.attachment + 1;
        let accepted = flags.accept.clone();
        let retry = flags.retry_failed;
        self.emit(Body::Attached {
            attachment,
            host: host.to_owned(),
            pid,
            user: user.name,
            uid: user.uid,
            flags: Box::new(flags),
            notes,
        });
        for step in accepted {
            let place = self.state.place_of(&step);
            let output = self.state.step(&step).output.clone();
            self.end(&place, StepStatus::Accepted, output, "accepted as it is");
        }
        if retry {
            let ordinals = self.state.left_in_open_steps();
            if !ordinals.is_empty() {
                self.emit(Body::Retried { ordinals });
            }
        }
    }

    /// Nothing new is started from now on.
    pub fn stop(&mut self, signal: &str) {
        self.memory
            .stopping
            .get_or_insert_with(|| signal.to_owned());
    }

    /// The facts since the last call, to be made durable before anything else happens.
    pub fn take_outbox(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.outbox)
    }

    /// Writes down a fact: folded now, durable when the outbox was taken.
    pub(crate) fn emit(&mut self, body: Body) {
        let record = Record {
            seq: self.state.seq + 1,
            at: self.now,
            body,
        };
        if let Err(error) = self.fold_record(&record) {
            // The machine made this record from the same state: an illegal one is a bug in it.
            panic!("record {}: {error}: {:?}", record.seq, record.body);
        }
        self.outbox.push(record);
    }

    /// The expressions' view.
    pub(crate) fn scope(&self) -> Scope {
        self.runbook.scope(
            &self.state.parameters,
            &self.state.outputs,
            &self.run_value(),
        )
    }

    fn run_value(&self) -> Value {
        serde_json::json!({
            "id": self.run.0,
            "started_at": self.state.opened.map(|at| at.to_string()),
            "user": self.state.user,
            "host": self.state.host,
        })
    }

    /// The expressions' view, with secrets: for what is sealed, never for what is shown.
    fn scope_with_secrets(&self) -> Scope {
        self.runbook.scope_with_secrets(
            &self.state.parameters,
            &self.state.outputs,
            &self.run_value(),
        )
    }

    /// A step of the runbook; the constructor proved that it is there.
    pub(crate) fn step_model(&self, id: &str) -> &Step {
        self.runbook
            .step(id)
            .unwrap_or_else(|| panic!("the runbook has no step `{id}`"))
    }

    /// The action of a step, and its arguments as they are written; none of a loop.
    pub(crate) fn action_of(&self, id: &str) -> Option<(&str, &Map<String, Value>)> {
        match &self.runbook.step(id)?.body {
            StepBody::Action { action, with } => Some((action, with)),
            StepBody::Repeat { .. } => None,
        }
    }

    pub(crate) fn action_name(&self, id: &str) -> String {
        let action = self.action_of(id).map(|(action, _)| action);
        action.unwrap_or_default().to_owned()
    }

    pub(crate) fn subject_of(&self, id: &str) -> Option<Subject> {
        let (action, _) = self.action_of(id)?;
        catalog::find(action).map(|action| action.subject)
    }

    /// Rendered arguments of a step.
    pub(crate) fn arguments(&self, id: &str) -> Result<Value, EvalError> {
        let written = self.action_of(id).map(|(_, with)| with);
        let mut arguments = match written {
            Some(with) => self.scope().render_arguments(with)?,
            None => Map::new(),
        };
        if let Some(select) = arguments.get_mut("select") {
            self.know(select);
        }
        Ok(Value::Object(arguments))
    }

    /// The same, of a step that comes back to them with each Workflow that it looks at: rendered once, while
    /// the step is at work.
    pub(crate) fn arguments_once<T: DeserializeOwned>(
        &mut self,
        place: &Place,
    ) -> Result<T, EvalError> {
        let kept = self.memory.rendered.take().filter(|(of, _)| of == place);
        let with = match kept {
            Some((_, with)) => with,
            None => self.arguments(&place.step)?,
        };
        let arguments = T::deserialize(&with).map_err(|error| EvalError::Failed {
            message: error.to_string(),
        });
        self.memory.rendered = Some((place.clone(), with));
        arguments
    }

    /// Puts names in the place of what earlier steps had, for an action that reads.
    fn know(&self, select: &mut Value) {
        let Ok(mut known) = serde_json::from_value::<Select>(select.clone()) else {
            return;
        };
        let names = |ledger: OfLedger| self.state.ledger.names(&ledger);
        if let Some(ledger) = known.ledger.take() {
            known.ids = Some(names(ledger));
        }
        if let Some(exclude) = &mut known.exclude
            && let Some(ledger) = exclude.ledger.take()
        {
            let had = names(ledger);
            let had = had.into_iter().map(|name| Named::new(name.id));
            exclude.ids.get_or_insert_default().extend(had);
        }
        *select = serde_json::to_value(known).unwrap_or_default();
    }

    /// A step is over.
    pub(crate) fn end(&mut self, place: &Place, status: StepStatus, output: Value, message: &str) {
        self.memory.observed.remove(place);
        self.memory.tries.remove(place);
        self.memory.declined.remove(&place.step);
        self.memory.asking = None;
        self.memory.held_once = false;
        // The next iteration counts anew: what was nothing may be something by then.
        self.memory.surveys.remove(&place.step);
        // So does what earlier steps gave and had.
        self.memory.tables.remove(&place.step);
        self.memory.listing = None;
        self.memory.rendered = None;
        self.memory.round = None;
        self.memory.held.clear();
        self.memory.again.clear();
        self.memory.halt = None;
        self.emit(Body::StepEnded {
            place: place.clone(),
            status,
            output,
            message: message.to_owned(),
        });
    }

    /// The output that a step has where it did nothing: zeros, empty texts.
    pub(crate) fn blank_output(&self, id: &str) -> Value {
        let Some(action) = self
            .action_of(id)
            .and_then(|(action, _)| catalog::find(action))
        else {
            return Value::Object(Map::new());
        };
        let mut output = Map::new();
        for field in action.output {
            let value = match field.kind {
                Kind::Count | Kind::Number => Value::from(0),
                Kind::Text => Value::from(""),
                Kind::Boolean => Value::from(false),
                Kind::List => Value::Array(Vec::new()),
                Kind::Object => Value::Object(Map::new()),
                Kind::Any => Value::Null,
            };
            output.insert(field.name.to_owned(), value);
        }
        Value::Object(output)
    }

    /// Puts in what a step's calls counted so far, over a loop's iterations.
    pub(crate) fn accumulate(&self, id: &str, mut output: Map<String, Value>) -> Value {
        for (field, count) in &self.state.step(id).counts {
            output.insert(field.clone(), Value::from(*count));
        }
        Value::Object(output)
    }

    /// Takes in what became of an effect; the facts that follow go into the outbox.
    pub fn complete(&mut self, completion: Completion, now: Timestamp) {
        self.now = now;
        if self.is_stopping() && completion.is_unread() {
            self.let_go(&completion);
            return;
        }
        match completion {
            Completion::Observed { place, result } => self.observed(&place, result),
            Completion::Acted { place, result } => self.acted(&place, result),
            Completion::Surveyed { place, result } => self.surveyed(&place, result),
            Completion::Listed { place, result } => self.listed(&place, result),
            Completion::Judged {
                ordinal,
                at,
                result,
            } => self.judged(ordinal, at, result),
            Completion::Written { ordinal, written } => self.written(ordinal, written),
            Completion::Settled { ordinal, result } => self.settled(ordinal, result),
            Completion::Verified {
                place,
                ordinal,
                result,
            } => self.verified(&place, ordinal, result),
            Completion::StatusRead {
                place,
                ordinal,
                result,
            } => self.status_read(&place, ordinal, result),
            Completion::Answered { question, reply } => self.answered(question, reply),
            Completion::Ran { place, ran } => self.ran(&place, ran),
            Completion::Job { place, result, .. } => self.job_seen(&place, result),
            Completion::Compared { ordinal, result } => self.compared(ordinal, result),
            Completion::Leased { call, answer } => self.leased(&call, answer),
        }
    }

    /// Whether a signal said to stop.
    pub fn is_stopping(&self) -> bool {
        self.memory.stopping.is_some()
    }

    /// The step at work.
    pub fn current_place(&self) -> Option<Place> {
        self.state.current()
    }

    /// Whether any call is in flight (a question does not count).
    pub fn is_idle(&self) -> bool {
        self.memory.busy.is_empty() && self.memory.calling.is_empty()
    }

    /// Claims `rows` for a step: one record.
    pub(crate) fn claim(
        &mut self,
        place: &Place,
        pass: u32,
        keys: Vec<(WorkflowKey, String)>,
    ) -> u64 {
        let rows = keys.into_iter().map(|(key, kind)| (key, kind, false));
        self.claim_up_to(place, pass, rows.collect(), None)
    }

    /// The same, of rows that say whether they were named without a run; `cursor` is how far a file of names was
    /// taken in with them.
    pub(crate) fn claim_up_to(
        &mut self,
        place: &Place,
        pass: u32,
        rows: Vec<(WorkflowKey, String, bool)>,
        cursor: Option<Cursor>,
    ) -> u64 {
        let mut ordinal = self.state.ledger.next_ordinal();
        let claims: Vec<Claim> = rows
            .into_iter()
            .map(|(key, workflow_type, latest)| {
                let claim = Claim {
                    ordinal,
                    id: key.workflow_id,
                    run: key.run_id,
                    workflow_type,
                    latest,
                };
                ordinal += 1;
                claim
            })
            .collect();
        let count = claims.len() as u64;
        if count > 0 || cursor.is_some() {
            self.emit(Body::Page {
                place: place.clone(),
                pass,
                claims,
                cursor,
            });
        }
        count
    }
}

/// A number in an output.
pub(crate) fn count(output: &Value, field: &str) -> u64 {
    output.get(field).and_then(Value::as_u64).unwrap_or(0)
}
