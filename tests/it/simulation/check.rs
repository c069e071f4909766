//! The independent observer: from what the service did, what left the process, and the raw journal, says
//! which promises were broken. Knows the case, and nothing of the tool's ledger or steps.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use runbook::simulator::{Deed, Did};
use serde_json::Value;
use temporalio_protos::temporal::api::workflowservice::v1 as api;

use super::case::{Case, Does, Source};
use super::drive::{Exit, Ran};
use super::journal::{Intent, Told, text};
use super::look::{self, Seen};
use super::people;
use super::wire::Sent;

/// A look may be so old when a write leaves; the rest is rounding.
const FRESH: SignedDuration = SignedDuration::from_millis(2_001);

/// Where the service is so slow that no look is fresh, looks may be so old.
const SLOW: SignedDuration = SignedDuration::from_millis(10_001);

/// Everything that is wrong.
pub(crate) fn check(case: &Case, ran: &Ran) -> Vec<String> {
    let mut problems: Vec<String> = ran.broken.iter().cloned().collect();
    if ran.dry_writes > 0 {
        problems.push(format!("the dry run wrote {} times", ran.dry_writes));
    }
    let told = Told::read(&ran.journal);
    let observer = Observer::new(case, ran, told);
    observer.nothing_unannounced(&mut problems);
    observer.nothing_twice(&mut problems);
    observer.nothing_unseen(&mut problems);
    observer.nobody_else_harmed(&mut problems);
    observer.the_journal_is_true(&mut problems);
    observer.grants_hold(&mut problems);
    problems.extend(people::check(case, &observer.told));
    observer.nothing_lost(&mut problems);
    observer.health_is_proved(&mut problems);
    problems.dedup();
    problems
}

/// A write of the process, as it left.
struct Call<'a> {
    sent: &'a Sent,
    kind: &'static str,
    id: String,
    run: String,
    request_id: String,
}

struct Observer<'a> {
    case: &'a Case,
    ran: &'a Ran,
    told: Told,
    calls: Vec<Call<'a>>,
    /// Looks at Workflows that were answered, by Workflow ID.
    seen: BTreeMap<String, Vec<(&'a Sent, Timestamp, Seen)>>,
    /// Intents by call: which intent each write belongs to.
    intents: Vec<Option<usize>>,
}

impl<'a> Observer<'a> {
    fn new(case: &'a Case, ran: &'a Ran, told: Told) -> Self {
        let calls: Vec<Call<'a>> = ran.log.iter().filter_map(call).collect();
        let mut seen: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for sent in &ran.log {
            if let Some((at, found)) = look::read(sent) {
                seen.entry(found.id.clone())
                    .or_default()
                    .push((sent, at, found));
            }
        }
        let mut observer = Self {
            case,
            ran,
            told,
            calls,
            seen,
            intents: Vec::new(),
        };
        observer.intents = (0..observer.calls.len())
            .map(|number| observer.intent_of(number))
            .collect();
        observer
    }

    /// The intent that announced a call: the latest durable one of its kind for the Workflow.
    fn intent_of(&self, number: usize) -> Option<usize> {
        let call = &self.calls[number];
        let intents = self.told.intents.iter().enumerate().rev();
        let mut fitting = intents.filter(|(_, intent)| {
            intent.end <= call.sent.durable
                && intent.call() == call.kind
                && self.told.claim(intent).id == call.id
                && (call.run.is_empty()
                    || self.told.claim(intent).run == call.run
                    || text(&intent.write, "base") == call.run)
        });
        fitting
            .find(|(_, intent)| {
                call.request_id.is_empty() || text(&intent.write, "request_id") == call.request_id
            })
            .map(|(index, _)| index)
    }

    /// No write without its intent on the disk, and one write an intent.
    fn nothing_unannounced(&self, problems: &mut Vec<String>) {
        let mut used: BTreeMap<usize, usize> = BTreeMap::new();
        for (number, call) in self.calls.iter().enumerate() {
            let Some(intent) = self.intents[number] else {
                problems.push(format!(
                    "{} of {} left without an intent on the disk",
                    call.kind, call.id
                ));
                continue;
            };
            if let Some(before) = used.insert(intent, number) {
                problems.push(format!(
                    "{} of {} was sent twice for one intent (at {} and {})",
                    call.kind, call.id, self.calls[before].sent.at, call.sent.at
                ));
            }
            if self.told.intents[intent].ended <= call.sent.durable {
                problems.push(format!(
                    "{} of {} left after its intent had ended",
                    call.kind, call.id
                ));
            }
        }
        for sent in &self.ran.log {
            let announced = match sent.rpc.as_str() {
                "StartBatchOperation" => {
                    let request = api::StartBatchOperationRequest::decode(&sent.request[..]);
                    let id = request.map(|it| it.job_id).unwrap_or_default();
                    self.told.facts.iter().any(|fact| {
                        fact.kind() == "job"
                            && fact.end <= sent.durable
                            && fact.body["job"]["id"] == id.as_str()
                    })
                }
                "SetWorkerDeploymentCurrentVersion"
                | "SetWorkerDeploymentRampingVersion"
                | "DeleteWorkerDeploymentVersion" => {
                    let facts = self.told.facts.iter().rev();
                    let mut acts = facts.filter(|fact| {
                        fact.end <= sent.durable && matches!(fact.kind(), "acting" | "acted")
                    });
                    acts.next().is_some_and(|fact| fact.kind() == "acting")
                }
                _ => continue,
            };
            if !announced {
                problems.push(format!("{} left without a record on the disk", sent.rpc));
            }
        }
    }

    fn ours(&self) -> impl Iterator<Item = &Deed> {
        self.ran
            .deeds
            .iter()
            .filter(|deed| deed.by == self.ran.identity)
    }

    /// How many second copies of writes of a kind to a Workflow the network delivered.
    fn copies(&self, kind: &str, id: &str) -> usize {
        let calls = self.calls.iter();
        calls
            .filter(|call| call.sent.doubled && call.kind == kind && call.id == id)
            .count()
    }

    /// A step resets or restarts no run twice, and none that it made itself; it signals a Workflow once.
    fn nothing_twice(&self, problems: &mut Vec<String>) {
        let mut done: BTreeMap<(String, String, &'static str), Vec<String>> = BTreeMap::new();
        let mut made: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for deed in self.ours() {
            let (Some(kind), Some(intent)) = (once(&deed.did), self.intent_behind(deed)) else {
                continue;
            };
            let claim = self.told.claim(intent);
            let base = match (kind, text(&intent.write, "base")) {
                ("signal", _) => String::new(),
                (_, "") => claim.run.clone(),
                (_, base) => base.to_owned(),
            };
            let (step, id) = (claim.step.clone(), deed.workflow_id.clone());
            if kind != "signal" && made.get(&step).is_some_and(|made| made.contains(&base)) {
                problems.push(format!(
                    "step {step}: {kind} of a run of {id} that it had made"
                ));
            }
            let new = match &deed.did {
                Did::Reset { new, .. } => new.clone(),
                _ => deed.run_id.clone(),
            };
            made.entry(step.clone()).or_default().push(new);
            done.entry((step, id, kind)).or_default().push(base);
        }
        for ((step, id, kind), bases) in done {
            let distinct: std::collections::BTreeSet<&String> = bases.iter().collect();
            let again = bases.len() - distinct.len();
            if again > self.copies(kind, &id) {
                problems.push(format!("step {step}: {id} got {kind} {again} times more"));
            }
        }
        self.jobs_do_it_once(problems);
    }

    /// A batch job's operations: once a Workflow and step, but for what the service repeats by itself.
    fn jobs_do_it_once(&self, problems: &mut Vec<String>) {
        let mut done: BTreeMap<(String, String), usize> = BTreeMap::new();
        for deed in &self.ran.deeds {
            let Some(job) = deed.by.strip_prefix("batch ") else {
                continue;
            };
            if once(&deed.did).is_none() {
                continue;
            }
            let step = self
                .told
                .facts
                .iter()
                .find(|fact| fact.kind() == "job" && fact.body["job"]["id"] == job);
            let step = step.map(|fact| fact.step().to_owned()).unwrap_or_default();
            *done.entry((step, deed.workflow_id.clone())).or_default() += 1;
        }
        let mut ids: Vec<&str> = Vec::new();
        for fact in self.told.facts.iter().filter(|fact| fact.kind() == "job") {
            let id = text(&fact.body["job"], "id");
            if ids.contains(&id) {
                problems.push(format!("two jobs have the id {id}"));
            }
            ids.push(id);
        }
        let repeats = usize::from(self.case.world.batches.interrupted_after.is_some());
        for ((step, id), count) in done {
            if count > 1 + repeats {
                problems.push(format!("step {step}: jobs did it {count} times to {id}"));
            }
        }
    }

    /// The intent behind a deed: by its request id, else the latest one of its kind that was announced.
    fn intent_behind(&self, deed: &Deed) -> Option<&Intent> {
        let write = &self.ran.writes[deed.write?];
        let kind = kind_of(&write.rpc)?;
        let at = deed.at;
        let calls = self.calls.iter().enumerate().rev();
        let mut fitting = calls.filter(|(_, call)| {
            call.kind == kind
                && call.id == write.subject
                && call.run == write.run_id
                && call.request_id == write.request_id
                && call.sent.at <= at
        });
        let (number, _) = fitting.next()?;
        self.intents[number].map(|intent| &self.told.intents[intent])
    }

    /// A write follows a look that is fresh, and does what the table says of what was seen.
    fn nothing_unseen(&self, problems: &mut Vec<String>) {
        for (number, call) in self.calls.iter().enumerate() {
            let looks = self.seen.get(&call.id).into_iter().flatten();
            let claimed = self.intents[number]
                .map(|intent| self.told.claim(&self.told.intents[intent]).run.clone());
            let last = looks
                .filter(|(sent, at, _)| sent.life == call.sent.life && *at <= call.sent.at)
                .rfind(|(.., seen)| claimed.as_ref().is_none_or(|run| *run == seen.run));
            let Some((_, at, seen)) = last else {
                problems.push(format!("{} of {} left without a look", call.kind, call.id));
                continue;
            };
            let age = call.sent.at.duration_since(*at);
            let stale = claimed_ordinal(&self.told, self.intents[number])
                .map_or(0, |ordinal| self.too_old(ordinal, call.sent.durable));
            let may_be = FRESH.saturating_mul(1 << stale.min(3)).min(SLOW);
            if age > may_be {
                problems.push(format!(
                    "{} of {} left {age:?} after its look",
                    call.kind, call.id
                ));
            }
            let Some(intent) = self.intents[number].map(|intent| &self.told.intents[intent]) else {
                continue;
            };
            if let Err(why) = self.is_right(intent, seen) {
                problems.push(format!(
                    "{} of {} by row {}: {why}",
                    call.kind, call.id, intent.row
                ));
            }
        }
    }

    /// How often a claim's look was too old by the time that its write would have left: where the service is
    /// slow, more is allowed.
    fn too_old(&self, ordinal: u64, durable: usize) -> u32 {
        let facts = self.told.facts.iter().filter(|fact| fact.end <= durable);
        let old = facts.filter(|fact| {
            fact.ordinal() == Some(ordinal) && text(&fact.body, "evidence").contains("too old")
        });
        u32::try_from(old.count()).unwrap_or(u32::MAX)
    }

    /// Whether the runbook says so of a Workflow that looks like this.
    fn is_right(&self, intent: &Intent, seen: &Seen) -> Result<(), String> {
        let claim = self.told.claim(intent);
        let Some(step) = self.case.book.step(&claim.step) else {
            return Err(format!("there is no step {}", claim.step));
        };
        match &step.does {
            Does::Take { from, treat, .. } => {
                if let Source::Query(scope) = from {
                    look::in_scope(scope, seen)?;
                }
                look::may_be(treat, seen)
            }
            Does::Decide(table) => {
                if table.also_lost_by.is_none() {
                    look::in_scope(&table.scope, seen)?;
                }
                let Some(row) = table.rows.iter().find(|row| look::takes(row, seen)) else {
                    return Err("no row takes it".to_owned());
                };
                if row.id != intent.row {
                    return Err(format!("row {} takes it", row.id));
                }
                let strategy = match (intent.call(), &row.fallback) {
                    (call, Some(fallback)) if look::call_of(fallback) == call => fallback,
                    _ => &row.treat,
                };
                look::may_be(strategy, seen)
            }
            other => Err(format!("the step does {other:?}")),
        }
    }

    /// What a write ended was what it was meant for, or came after the look.
    fn nobody_else_harmed(&self, problems: &mut Vec<String>) {
        for deed in self.ours() {
            let ended = match &deed.did {
                Did::Reset { ended, .. } | Did::Started { ended } => ended.as_deref(),
                _ => None,
            };
            let Some(intent) = self.intent_behind(deed) else {
                problems.push(format!(
                    "{:?} of {} was announced by nobody",
                    deed.did, deed.workflow_id
                ));
                continue;
            };
            let claim = self.told.claim(intent);
            let named = matches!(deed.did, Did::Started { .. })
                || deed.run_id == claim.run
                || text(&intent.write, "base") == deed.run_id;
            if !named {
                problems.push(format!(
                    "{:?} went to run {} of {}, and {} was claimed",
                    deed.did, deed.run_id, deed.workflow_id, claim.run
                ));
            }
            let Some(ended) = ended.filter(|ended| *ended != claim.run) else {
                continue;
            };
            let looks = self.seen.get(&deed.workflow_id).into_iter().flatten();
            let mut before = looks.filter(|(_, at, _)| *at <= deed.at);
            let known = before.any(|(_, _, seen)| seen.run == *ended);
            let copied = self.copies_of(deed) > 0;
            if known && !copied && !self.may_terminate(intent) {
                problems.push(format!(
                    "{:?} of {} ended run {ended}, which the look had seen",
                    deed.did, deed.workflow_id
                ));
            }
            let own = self.ours().any(|other| match &other.did {
                Did::Reset { new, .. } => new == ended,
                Did::Started { .. } => other.run_id == *ended,
                _ => false,
            });
            if own && !copied && !self.may_terminate(intent) {
                problems.push(format!(
                    "{:?} of {} ended a run that this run had made",
                    deed.did, deed.workflow_id
                ));
            }
        }
    }

    fn copies_of(&self, deed: &Deed) -> usize {
        let write = deed.write.map(|number| &self.ran.writes[number]);
        write
            .and_then(|write| kind_of(&write.rpc))
            .map_or(0, |kind| self.copies(kind, &deed.workflow_id))
    }

    /// `if_reset: again` ends the run that the earlier reset made.
    fn may_terminate(&self, intent: &Intent) -> bool {
        let step = self.case.book.step(&self.told.claim(intent).step);
        step.is_some_and(|step| match &step.does {
            Does::Take { treat, .. } => look::is_again(treat),
            Does::Decide(table) => table.rows.iter().any(|row| look::is_again(&row.treat)),
            _ => false,
        })
    }

    /// Somebody else moved the run again after `deed` had.
    fn moved_on_by_others(&self, deed: &Deed) -> bool {
        matches!(deed.did, Did::Moved(_))
            && self.ran.deeds.iter().any(|other| {
                other.write.is_none()
                    && other.run_id == deed.run_id
                    && other.at >= deed.at
                    && matches!(other.did, Did::Moved(_))
            })
    }

    /// What the journal says was done was done, and what was done is in the journal.
    fn the_journal_is_true(&self, problems: &mut Vec<String>) {
        for intent in &self.told.intents {
            let claim = self.told.claim(intent);
            let mut deeds = self.ours().filter(|deed| {
                self.intent_behind(deed)
                    .is_some_and(|behind| std::ptr::eq(behind, intent))
            });
            let deed = deeds.next();
            let what = format!("{} of {}", intent.call(), claim.id);
            match (intent.end_state.as_str(), deed) {
                ("done", Some(deed)) => self.same_run(intent, deed, &what, problems),
                // An Override that is so already, and a cancellation that was asked for, leave no trace.
                ("done", None) if matches!(intent.call(), "options" | "cancel") => {}
                // Somebody else did it while it was in doubt, and the journal does not say it was this run.
                ("done", None) if intent.ours != Some(true) && self.was_in_doubt(intent) => {}
                ("done", None) => problems.push(format!("{what}: done, says the journal")),
                // What was wanted is not so any more, and nothing tells that it once was.
                ("not_done", Some(deed)) if self.moved_on_by_others(deed) => {}
                ("not_done" | "failed" | "refused" | "skipped" | "barred", Some(deed)) => {
                    problems.push(format!(
                        "{what}: {}, says the journal, and the service did it at {}",
                        intent.end_state, deed.at
                    ));
                }
                ("", Some(_)) if self.has_succeeded() => {
                    problems.push(format!(
                        "{what}: in doubt at the end of a run that ended well"
                    ));
                }
                _ => {}
            }
        }
        self.outputs_are_true(problems);
        self.an_end_is_an_end(problems);
    }

    fn was_in_doubt(&self, intent: &Intent) -> bool {
        self.told.facts.iter().any(|fact| {
            fact.kind() == "settled"
                && fact.ordinal() == Some(intent.ordinal)
                && fact.end == intent.ended
        })
    }

    fn same_run(&self, intent: &Intent, deed: &Deed, what: &str, problems: &mut Vec<String>) {
        let made = match &deed.did {
            Did::Reset { new, .. } => new,
            Did::Started { .. } => &deed.run_id,
            _ => return,
        };
        let Some(said) = &intent.new_run else {
            problems.push(format!(
                "{what}: the journal does not say which run it made"
            ));
            return;
        };
        // A copy, or somebody else's newer reset, may be what the service shows.
        let excused = self.copies_of(deed) > 0 || self.was_in_doubt(intent);
        if said != made && !excused {
            problems.push(format!(
                "{what}: it made run {made}, and the journal says {said}"
            ));
        }
    }

    /// Counts in the outputs of steps are those of the records.
    fn outputs_are_true(&self, problems: &mut Vec<String>) {
        let mut last: BTreeMap<&str, (&Value, usize)> = BTreeMap::new();
        for fact in &self.told.facts {
            if fact.kind() == "step_ended" {
                last.insert(fact.step(), (&fact.body["output"], fact.end));
            }
        }
        for (step, (output, end)) in last {
            let Some(recovered) = output["recovered"].as_u64() else {
                continue;
            };
            let is_over = self.told.facts.iter().rev().find(|fact| {
                matches!(fact.kind(), "step_ended" | "step_started") && fact.step() == step
            });
            let touched = |ordinal: &u64| {
                let facts = self.told.facts.iter();
                let mut later = facts.filter(|fact| fact.end > end);
                later.any(|fact| fact.ordinal() == Some(*ordinal))
            };
            if is_over.is_none_or(|fact| fact.kind() != "step_ended") {
                continue;
            }
            let of_step = |ordinal: &&u64| self.told.claims[*ordinal].step == step;
            let mine: Vec<&u64> = self.told.claims.keys().filter(of_step).collect();
            if mine.iter().any(|ordinal| touched(ordinal)) {
                continue;
            }
            let done = mine
                .iter()
                .filter(|ordinal| self.told.states[**ordinal] == "done")
                .count() as u64;
            if done != recovered {
                problems.push(format!(
                    "step {step}: {recovered} recovered, says its output, and the records say {done}"
                ));
            }
        }
    }

    fn has_succeeded(&self) -> bool {
        self.ran.exits.last() == Some(&Exit::Succeeded)
    }

    /// A run that ended well has decided everything that it took.
    fn an_end_is_an_end(&self, problems: &mut Vec<String>) {
        if !self.has_succeeded() {
            return;
        }
        for (ordinal, state) in &self.told.states {
            if matches!(state.as_str(), "claimed" | "intended" | "doubt" | "handed") {
                let claim = &self.told.claims[ordinal];
                problems.push(format!(
                    "the run ended well, and step {} left {} undecided ({state})",
                    claim.step, claim.id
                ));
            }
        }
    }

    /// No row gets more writes than were granted, none before and none after.
    fn grants_hold(&self, problems: &mut Vec<String>) {
        let mut asked: BTreeMap<u64, String> = BTreeMap::new();
        let mut grants: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        let mut used: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
        for fact in &self.told.facts {
            match fact.kind() {
                "asked" => {
                    let number = fact.body["question"].as_u64().unwrap_or_default();
                    asked.insert(number, fact.step().to_owned());
                }
                "answered" if fact.body["answer"] == "yes" => {
                    let number = fact.body["question"].as_u64().unwrap_or_default();
                    let step = asked.get(&number).cloned().unwrap_or_default();
                    let expires = text(&fact.body, "expires").to_owned();
                    for (row, count) in fact.body["grants"].as_object().into_iter().flatten() {
                        let count = count.as_u64().unwrap_or_default();
                        let held = grants.entry((step.clone(), row.clone())).or_default();
                        *held = (held.0.max(count), expires.clone());
                    }
                }
                "intent" => {
                    let ordinal = fact.ordinal().unwrap_or_default();
                    let step = self.told.claims[&ordinal].step.clone();
                    let row = text(&fact.body, "row").to_owned();
                    let users = used.entry((step.clone(), row.clone())).or_default();
                    if !users.contains(&ordinal) {
                        users.push(ordinal);
                    }
                    let count = users.len() as u64;
                    match grants.get(&(step.clone(), row.clone())) {
                        None => problems.push(format!("row {row} of {step} was granted nothing")),
                        Some((granted, _)) if count > *granted => problems.push(format!(
                            "row {row} of {step}: {count} written to, and {granted} granted"
                        )),
                        Some((_, expires)) if fact.at > *expires => {
                            problems.push(format!("row {row} of {step}: the grant had expired"));
                        }
                        Some(_) => {}
                    }
                }
                "settled" if fact.body["settlement"]["is"] == "not_done" => {
                    for users in used.values_mut() {
                        users.retain(|user| Some(*user) != fact.ordinal());
                    }
                }
                "barred" => {
                    for users in used.values_mut() {
                        users.retain(|user| Some(*user) != fact.ordinal());
                    }
                }
                "outcome"
                    if fact.body["outcome"]["is"] != "done"
                        && fact.body["outcome"]["is"] != "unknown" =>
                {
                    for users in used.values_mut() {
                        users.retain(|user| Some(*user) != fact.ordinal());
                    }
                }
                _ => {}
            }
        }
    }

    /// A step that a batch job does has the scope that its first job had: what comes later is not in it, and
    /// the question says so.
    fn is_frozen(&self, step: &str, durable: usize) -> bool {
        let by_job = |step: &super::case::Step| matches!(step.does, Does::Take { batch: true, .. });
        self.case.book.step(step).is_some_and(by_job)
            && self
                .told
                .facts
                .iter()
                .any(|fact| fact.kind() == "job" && fact.step() == step && fact.end <= durable)
    }

    /// What the last listing of a step showed is in the journal under that step, where the run ended well.
    fn nothing_lost(&self, problems: &mut Vec<String>) {
        if !self.has_succeeded() {
            return;
        }
        for (step, (durable, rows)) in self.last_listings() {
            if self.scope_of(&step).is_none() || self.is_frozen(&step, durable) {
                continue;
            }
            for (id, run, kind) in rows {
                let mut claims =
                    self.told.claims.iter().filter(|(_, claim)| {
                        claim.step == step && claim.id == id && claim.run == run
                    });
                let is_told = claims.any(|(ordinal, claim)| {
                    claim.end > durable
                        || self.told.states[ordinal] != "released"
                        || self.ended_at(*ordinal) > durable
                });
                let made = |intent: &Intent| {
                    intent.new_run.as_ref() == Some(&run) || intent.ended > durable
                };
                let own = self.told.intents.iter().any(|intent| {
                    let claim = self.told.claim(intent);
                    claim.step == step && claim.id == id && made(intent)
                });
                if !is_told && !own && self.has_a_row(&step, &kind) {
                    problems.push(format!(
                        "step {step}: {id} was listed at the end, and is not in the journal"
                    ));
                }
            }
        }
    }

    /// Where the last record about a claim ends.
    fn ended_at(&self, ordinal: u64) -> usize {
        let facts = self.told.facts.iter().rev();
        let mut about = facts.filter(|fact| fact.ordinal() == Some(ordinal));
        about.next().map_or(0, |fact| fact.end)
    }

    fn scope_of(&self, step: &str) -> Option<&super::case::Scope> {
        match &self.case.book.step(step)?.does {
            Does::Decide(table) => Some(&table.scope),
            Does::Take {
                from: Source::Query(scope),
                ..
            } => Some(scope),
            _ => None,
        }
    }

    /// Whether some row takes Workflows of a type.
    fn has_a_row(&self, step: &str, kind: &str) -> bool {
        match self.case.book.step(step).map(|step| &step.does) {
            Some(Does::Decide(table)) => table.rows.iter().any(|row| row.types.contains(&kind)),
            _ => true,
        }
    }

    /// What each step's last listing showed while it was at work, and what was durable when it was asked for.
    fn last_listings(&self) -> BTreeMap<String, (usize, Vec<look::Row>)> {
        let mut found = BTreeMap::new();
        for sent in &self.ran.log {
            if let Some((mark, rows)) = look::listed(sent)
                && self
                    .step_began(&mark)
                    .is_some_and(|began| began <= sent.durable)
            {
                found.insert(mark, (sent.durable, rows));
            }
        }
        found
    }

    fn step_began(&self, step: &str) -> Option<usize> {
        let mut facts = self.told.facts.iter();
        facts
            .find(|fact| fact.kind() == "step_started" && fact.step() == step)
            .map(|fact| fact.end)
    }

    /// Healthy is what completed a Workflow Task on its target, and was looked at.
    fn health_is_proved(&self, problems: &mut Vec<String>) {
        for fact in &self.told.facts {
            if fact.kind() != "verified" || fact.body["health"] != "healthy" {
                continue;
            }
            let ordinal = fact.ordinal().unwrap_or_default();
            let claim = &self.told.claims[&ordinal];
            let intents = self.told.intents.iter().rev();
            let mut done =
                intents.filter(|intent| intent.ordinal == ordinal && intent.end_state == "done");
            let Some(intent) = done.next() else { continue };
            let target = target(&intent.write);
            let Some(target) = target else { continue };
            let looks = self.seen.get(&claim.id).into_iter().flatten();
            let proved = looks
                .filter(|(sent, ..)| sent.durable <= fact.end)
                .any(|(_, _, seen)| seen.ran_on.as_deref() == Some(target.as_str()));
            if !proved {
                problems.push(format!(
                    "{} is healthy, says the journal, and no look showed a task on {target}",
                    claim.id
                ));
            }
        }
    }
}

fn claimed_ordinal(told: &Told, intent: Option<usize>) -> Option<u64> {
    intent.map(|intent| told.intents[intent].ordinal)
}

/// The Version that a write pins.
fn target(write: &Value) -> Option<String> {
    let version = match text(write, "call") {
        "options" => &write["target"]["version"],
        _ => &write["target"],
    };
    match version {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) => Some(format!(
            "{}:{}",
            map.get("deployment")?.as_str()?,
            map.get("build_id")?.as_str()?
        )),
        _ => None,
    }
}

/// What must not happen twice.
fn once(did: &Did) -> Option<&'static str> {
    match did {
        Did::Reset { .. } => Some("reset"),
        Did::Started { .. } => Some("restart"),
        Did::Signalled(_) => Some("signal"),
        Did::Moved(_) | Did::Terminated | Did::Cancelled => None,
    }
}

fn kind_of(rpc: &str) -> Option<&'static str> {
    Some(match rpc {
        "ResetWorkflowExecution" => "reset",
        "UpdateWorkflowExecutionOptions" => "options",
        "StartWorkflowExecution" => "restart",
        "TerminateWorkflowExecution" => "terminate",
        "RequestCancelWorkflowExecution" => "cancel",
        "SignalWorkflowExecution" => "signal",
        _ => return None,
    })
}

fn call(sent: &Sent) -> Option<Call<'_>> {
    let kind = kind_of(&sent.rpc)?;
    let bytes = &sent.request[..];
    let (execution, request_id) = match kind {
        "reset" => {
            let it = api::ResetWorkflowExecutionRequest::decode(bytes).ok()?;
            (it.workflow_execution, it.request_id)
        }
        "options" => {
            let it = api::UpdateWorkflowExecutionOptionsRequest::decode(bytes).ok()?;
            (it.workflow_execution, String::new())
        }
        "restart" => {
            let it = api::StartWorkflowExecutionRequest::decode(bytes).ok()?;
            return Some(Call {
                sent,
                kind,
                id: it.workflow_id,
                run: String::new(),
                request_id: it.request_id,
            });
        }
        "terminate" => {
            let it = api::TerminateWorkflowExecutionRequest::decode(bytes).ok()?;
            (it.workflow_execution, String::new())
        }
        "cancel" => {
            let it = api::RequestCancelWorkflowExecutionRequest::decode(bytes).ok()?;
            (it.workflow_execution, it.request_id)
        }
        _ => {
            let it = api::SignalWorkflowExecutionRequest::decode(bytes).ok()?;
            (it.workflow_execution, it.request_id)
        }
    };
    let execution = execution.unwrap_or_default();
    Some(Call {
        sent,
        kind,
        id: execution.workflow_id,
        run: execution.run_id,
        request_id,
    })
}
