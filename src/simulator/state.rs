//! The state of the simulated service: executions, deployments, and a queue of what is due. No task runs
//! in the background: each call first advances the state to the clock's now.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use temporalio_protos::temporal::api::enums::v1::ContinueAsNewInitiator;
use temporalio_protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;
use tonic::Status as Reply;

use super::batch::Job;
use super::deployments::{Deployment, Drainage, Workers};
use super::execution::{Execution, Profile, Snapshot, Task};
use super::facts::{Actor, Deed, Tally, Write};
use super::faults::{Injector, Random};
use super::history::{History, TerminateMark, What};
use super::proto;
use super::visibility::OrderKey;
use super::world::{Behaviour, Group, World};
use crate::survey::{Behavior, Status};

/// How long a Worker may take for a Workflow Task, where nobody said otherwise.
const TASK_TIMEOUT: prost_types::Duration = prost_types::Duration {
    seconds: 10,
    nanos: 0,
};

/// A Worker Deployment Version, by number: names are kept once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VersionId(pub(super) u16);

/// The name behind a [`VersionId`].
#[derive(Clone, Debug)]
pub(super) struct VersionName {
    pub(super) deployment: Arc<str>,
    pub(super) build: Arc<str>,
    /// `DEPLOYMENT:BUILD`.
    pub(super) text: Arc<str>,
}

/// All runs of a Workflow ID, and what was done to them.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    pub(super) runs: Vec<u32>,
    pub(super) tally: Tally,
}

impl Lineage {
    /// The run that the Workflow ID has now.
    pub(super) fn current(&self) -> u32 {
        self.runs.last().copied().unwrap_or_default()
    }
}

/// What is due at some time.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// A Worker takes the scheduled task.
    Dispatch {
        index: u32,
        generation: u32,
    },
    /// A held task times out.
    TaskTimeout {
        index: u32,
        generation: u32,
    },
    /// An Activity completes.
    WorkDone {
        index: u32,
    },
    RunTimeout {
        index: u32,
    },
    Closes {
        index: u32,
        status: Status,
    },
    Publish {
        index: u32,
        snapshot: Snapshot,
        number: u64,
    },
    Drainage {
        version: VersionId,
        generation: u32,
    },
    Register {
        version: VersionId,
    },
    StopWorkers {
        version: VersionId,
    },
    Control {
        controller: usize,
    },
    LockEnds {
        index: u32,
    },
    Operate {
        act: usize,
    },
    Arrive {
        group: usize,
    },
    /// It closes after it was cancelled.
    Finishes {
        index: u32,
        status: Status,
    },
    /// The wait for the first Workflow Task is over.
    FirstTask {
        index: u32,
    },
    /// A fix is deployed under the same Build ID.
    Fixed {
        version: VersionId,
        behaves: Behaviour,
    },
    /// A batch job looks at its Workflows.
    BatchLook(Arc<str>),
    BatchHeartbeat(Arc<str>),
    BatchStep(Arc<str>),
    /// A batch job begins the page behind a token again.
    BatchAgain(Arc<str>, Vec<u8>),
    BatchEnd(Arc<str>),
}

/// Calls a second.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    pub(super) fn new(rate: u32, at: Timestamp) -> Self {
        let rate = f64::from(rate.max(1));
        Self {
            rate,
            tokens: rate,
            at,
        }
    }

    /// Takes one call, or refuses it.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.at = now;
        self.tokens = (self.tokens + passed * self.rate).min(self.rate);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// Everything that the simulated service knows.
pub(super) struct State {
    pub(super) namespace: String,
    pub(super) namespace_id: String,
    pub(super) world: World,
    pub(super) begin: Timestamp,
    pub(super) now: Timestamp,
    pub(super) random: Random,
    pub(super) injector: Injector,
    pub(super) executions: Vec<Execution>,
    pub(super) by_id: BTreeMap<Arc<str>, Lineage>,
    pub(super) by_run: BTreeMap<u128, u32>,
    pub(super) profiles: BTreeMap<Arc<str>, Arc<Profile>>,
    pub(super) versions: Vec<VersionName>,
    pub(super) workers: Vec<Workers>,
    pub(super) deployments: BTreeMap<Arc<str>, Deployment>,
    /// Batch jobs by id.
    pub(super) jobs: BTreeMap<String, Job>,
    /// Running executions by the Version that Visibility shows.
    pub(super) running_on: BTreeMap<VersionId, u64>,
    /// Executions in the order of a listing.
    pub(super) order: BTreeMap<OrderKey, u32>,
    pub(super) bucket: Option<Bucket>,
    pub(super) visibility_bucket: Bucket,
    pub(super) calls: BTreeMap<String, u64>,
    pub(super) writes: Vec<Write>,
    /// What was done to Workflows, in order.
    pub(super) deeds: Vec<Deed>,
    pub(super) actor: Actor,
    /// Lists of used Versions, each kept once.
    used_lists: BTreeSet<Arc<[VersionId]>>,
    queue: BTreeMap<(Timestamp, u64), Due>,
    sequence: u64,
    /// Changes that Visibility was told of, and the newest that it shows of each execution.
    published: u64,
    shown: BTreeMap<u32, u64>,
    jitters: Random,
}

impl State {
    pub(super) fn empty(world: &World, injector: Injector, seed: u64, begin: Timestamp) -> Self {
        let mut random = Random::new(seed);
        let namespace_id = proto::run_text(random.run_id());
        Self {
            namespace: world.namespace.clone(),
            namespace_id,
            begin,
            now: begin,
            random,
            injector,
            executions: Vec::new(),
            by_id: BTreeMap::new(),
            by_run: BTreeMap::new(),
            profiles: BTreeMap::new(),
            versions: Vec::new(),
            workers: Vec::new(),
            deployments: BTreeMap::new(),
            jobs: BTreeMap::new(),
            running_on: BTreeMap::new(),
            order: BTreeMap::new(),
            bucket: world.limits.rate_limit.map(|rate| Bucket::new(rate, begin)),
            visibility_bucket: Bucket::new(world.limits.visibility_rate_limit, begin),
            calls: BTreeMap::new(),
            writes: Vec::new(),
            deeds: Vec::new(),
            actor: Actor::default(),
            used_lists: BTreeSet::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            published: 0,
            shown: BTreeMap::new(),
            jitters: Random::new(seed ^ 0x1A66),
            world: world.clone(),
        }
    }

    pub(super) fn execution(&self, index: u32) -> &Execution {
        &self.executions[index as usize]
    }

    pub(super) fn execution_mut(&mut self, index: u32) -> &mut Execution {
        &mut self.executions[index as usize]
    }

    pub(super) fn version_name(&self, version: VersionId) -> &VersionName {
        &self.versions[usize::from(version.0)]
    }

    pub(super) fn find_version(&self, deployment: &str, build: &str) -> Option<VersionId> {
        let found = self
            .versions
            .iter()
            .position(|name| &*name.deployment == deployment && &*name.build == build)?;
        u16::try_from(found).ok().map(VersionId)
    }

    /// The number of a Version, new where it has none.
    pub(super) fn version_id(&mut self, deployment: &str, build: &str) -> VersionId {
        if let Some(found) = self.find_version(deployment, build) {
            return found;
        }
        let id = VersionId(u16::try_from(self.versions.len()).unwrap_or(u16::MAX));
        self.versions.push(VersionName {
            deployment: deployment.into(),
            build: build.into(),
            text: format!("{deployment}:{build}").into(),
        });
        self.workers.push(Workers::default());
        id
    }

    /// The Versions that completed a task of a history, as a list that executions share.
    pub(super) fn used_list(&mut self, history: &super::history::History) -> Arc<[VersionId]> {
        let used = history.used();
        if let Some(known) = self.used_lists.get(used.as_slice()) {
            return known.clone();
        }
        let used: Arc<[VersionId]> = used.into();
        self.used_lists.insert(used.clone());
        used
    }

    /// Adds what is due `after` from now.
    pub(super) fn due_after(&mut self, after: Duration, due: Due) {
        let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
        let at = self.now.checked_add(after).unwrap_or(Timestamp::MAX);
        self.due_at(at, due);
    }

    /// Adds what is due at a time.
    pub(super) fn due_at(&mut self, at: Timestamp, due: Due) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), due);
    }

    /// Lets everything happen that is due up to `now`, in the order of time.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), due) = entry.remove_entry();
            self.now = at;
            self.happen(due);
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Dispatch { index, generation } => self.dispatch(index, generation),
            Due::TaskTimeout { index, generation } => self.task_times_out(index, generation),
            Due::WorkDone { index } => self.work_done(index),
            Due::RunTimeout { index } => self.closes(index, Status::TimedOut),
            Due::Closes { index, status } => self.closes(index, status),
            Due::Publish {
                index,
                snapshot,
                number,
            } => self.show_newest(index, snapshot, number),
            Due::Drainage {
                version,
                generation,
            } => self.check_drainage(version, generation),
            Due::Register { version } => self.register(version),
            Due::StopWorkers { version } => self.stop_workers(version),
            Due::Control { controller } => self.control(controller),
            Due::Operate { act } => self.operate(act),
            Due::LockEnds { index } => self.end_lock(index),
            Due::Arrive { group } => self.arrive(group),
            Due::Finishes { index, status } => self.finishes(index, status),
            Due::FirstTask { index } => self.first_task_due(index),
            Due::Fixed { version, behaves } => self.fix_workers(version, behaves),
            Due::BatchLook(job) => self.batch_look(&job),
            Due::BatchHeartbeat(job) => self.batch_heartbeat(&job),
            Due::BatchStep(job) => self.batch_step(&job),
            Due::BatchAgain(job, token) => self.batch_again(&job, token),
            Due::BatchEnd(job) => self.batch_end(&job),
        }
    }

    /// Puts a new execution into the state; `visible` at once, or after the lag.
    pub(super) fn insert(&mut self, execution: Execution, visible: bool) -> u32 {
        let index = u32::try_from(self.executions.len()).unwrap_or(u32::MAX);
        self.by_id
            .entry(execution.id.clone())
            .or_default()
            .runs
            .push(index);
        self.by_run.insert(execution.run, index);
        let timeout = execution.kind.run_timeout.filter(|_| execution.is_open());
        let started = execution.started;
        self.executions.push(execution);
        if let Some(timeout) = timeout {
            let after = SignedDuration::try_from(timeout).unwrap_or(SignedDuration::MAX);
            self.due_at(
                started.checked_add(after).unwrap_or(Timestamp::MAX),
                Due::RunTimeout { index },
            );
        }
        if visible {
            let snapshot = self.execution(index).snapshot();
            self.show(index, snapshot);
        } else {
            self.publish(index);
        }
        index
    }

    /// Tells Visibility of a change; it shows after the lag.
    pub(super) fn publish(&mut self, index: u32) {
        let snapshot = self.execution(index).snapshot();
        let lag = self.world.limits.visibility_lag.0 + self.jitter();
        if lag.is_zero() {
            self.show(index, snapshot);
        } else {
            self.published += 1;
            let number = self.published;
            let due = Due::Publish {
                index,
                snapshot,
                number,
            };
            self.due_after(lag, due);
        }
    }

    /// Changes of different executions overtake each other.
    fn jitter(&mut self) -> Duration {
        let most = self.world.limits.visibility_jitter.0;
        if most.is_zero() {
            return most;
        }
        most.mul_f64(self.jitters.fraction())
    }

    /// An older change of the same execution never takes the place of a newer one.
    fn show_newest(&mut self, index: u32, snapshot: Snapshot, number: u64) {
        let newest = self.shown.entry(index).or_default();
        if number >= *newest {
            *newest = number;
            self.show(index, snapshot);
        }
    }

    fn show(&mut self, index: u32, snapshot: Snapshot) {
        let (started, run) = (self.execution(index).started, self.execution(index).run);
        if let Some(old) = self.execution(index).visible {
            self.order.remove(&order_key(old, started, run));
            self.count_running(old, -1);
        }
        self.order.insert(order_key(snapshot, started, run), index);
        self.count_running(snapshot, 1);
        self.execution_mut(index).visible = Some(snapshot);
    }

    fn count_running(&mut self, snapshot: Snapshot, by: i64) {
        // What the server counts to tell whether a Version has drained: Pinned and Running there.
        let pinned = i32::from(snapshot.behavior)
            == super::history::behavior_number(crate::survey::Behavior::Pinned);
        if let (Some(version), true) = (snapshot.version, pinned && snapshot.status.is_open()) {
            let count = self.running_on.entry(version).or_default();
            *count = count.saturating_add_signed(by);
        }
    }

    /// Closes an execution: the last event, no task, and its parent hears of it.
    pub(super) fn close(&mut self, index: u32, status: Status, last: What) {
        let now = self.now;
        let run = self.execution_mut(index);
        run.problems = run.reports_problems(now);
        run.status = status;
        run.closed = Some(now);
        run.task = Task::None;
        run.working = false;
        run.generation += 1;
        run.history.push(now, last);
        self.publish(index);
    }

    pub(super) fn closes(&mut self, index: u32, status: Status) {
        if !self.execution(index).is_open() {
            return;
        }
        if status == Status::ContinuedAsNew {
            self.continue_as_new(index);
            return;
        }
        let last = closing_event(status);
        self.close(index, status, last);
        self.tell_parent(index);
    }

    /// The run is closed and another one of its chain goes on; pins and the Override go with it.
    fn continue_as_new(&mut self, index: u32) {
        let (now, new) = (self.now, self.random.run_id());
        let before = self.execution(index).clone();
        self.close(
            index,
            Status::ContinuedAsNew,
            What::ContinuedAsNew(Arc::new(new)),
        );
        let mut history = History::new(Arc::from([]), now);
        history.push(now, What::Started);
        let parent = before.parent();
        let mut next = Execution {
            run: new,
            status: Status::Running,
            started: now,
            closed: None,
            behavior: before.behavior,
            ran_on: None,
            used: Arc::from([]),
            inherited: before
                .ran_on
                .filter(|_| before.behavior == Behavior::Pinned),
            task: Task::None,
            working: false,
            generation: 0,
            problems: false,
            reset_run: None,
            last_reset: None,
            original_run: new,
            request_id: None,
            visible: None,
            extra: None,
            history,
            ..before.clone()
        };
        next.extra_mut().continued_from = Some(before.run);
        next.extra_mut().parent = parent;
        let index = self.insert(next, false);
        self.schedule_task(index);
    }

    /// Terminates a run for a reset or a new start.
    pub(super) fn terminate(&mut self, index: u32, mark: TerminateMark) {
        self.close(index, Status::Terminated, What::Terminated(Arc::new(mark)));
    }

    /// How long a Worker may take for a Workflow Task.
    pub(super) fn task_timeout(&self, run: &Execution) -> Option<prost_types::Duration> {
        match asked_start(run) {
            Some(start) => start.workflow_task_timeout,
            None => Some(TASK_TIMEOUT),
        }
    }

    /// Event 1 of an execution.
    pub(super) fn started_attributes(&self, index: u32) -> WorkflowExecutionStartedEventAttributes {
        let run = self.execution(index);
        let mut attributes = asked_start(run).unwrap_or_else(|| self.seeded_start(index));
        attributes.original_execution_run_id = proto::run_text(run.original_run);
        attributes.first_execution_run_id = proto::run_text(run.first_run);
        attributes.workflow_id = run.id.to_string();
        attributes
    }

    fn seeded_start(&self, index: u32) -> WorkflowExecutionStartedEventAttributes {
        let run = self.execution(index);
        let extra = run.extra.as_deref();
        let continued = extra.and_then(|extra| extra.continued_from);
        let attributes = run
            .kind
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), proto::attribute_payload(value)))
            .collect::<std::collections::HashMap<_, _>>();
        let parent = run.parent().map(|parent| self.execution(parent));
        WorkflowExecutionStartedEventAttributes {
            workflow_type: proto::workflow_type(&run.kind.workflow_type),
            task_queue: proto::task_queue(&run.kind.task_queue),
            input: proto::json_payloads(&self.input_of(run)),
            workflow_execution_timeout: run.kind.execution_timeout.map(proto::span),
            workflow_run_timeout: run.kind.run_timeout.map(proto::span),
            workflow_task_timeout: Some(TASK_TIMEOUT),
            identity: "starter".to_owned(),
            attempt: 1,
            search_attributes: (!attributes.is_empty()).then_some(
                temporalio_protos::temporal::api::common::v1::SearchAttributes {
                    indexed_fields: attributes,
                },
            ),
            parent_workflow_namespace: parent.map(|_| self.namespace.clone()).unwrap_or_default(),
            parent_workflow_execution: parent
                .map(|parent| proto::execution(&parent.id, parent.run)),
            continued_execution_run_id: continued.map(proto::run_text).unwrap_or_default(),
            initiator: match (continued, &run.kind.cron) {
                (_, Some(_)) => ContinueAsNewInitiator::CronSchedule as i32,
                (Some(_), None) => ContinueAsNewInitiator::Workflow as i32,
                (None, None) => 0,
            },
            cron_schedule: run.kind.cron.clone().unwrap_or_default(),
            first_workflow_task_backoff: extra
                .and_then(|extra| extra.waits_until)
                .and_then(|until| Duration::try_from(until.duration_since(run.started)).ok())
                .map(proto::span),
            inherited_pinned_version: run
                .inherited
                .map(|version| proto::version(self.version_name(version))),
            ..Default::default()
        }
    }

    /// The argument of a seeded execution.
    pub(super) fn input_of(&self, run: &Execution) -> serde_json::Value {
        match &run.kind.input {
            Some(template) => numbered(template, run.number),
            None => serde_json::json!({ "n": run.number }),
        }
    }

    /// What the Workers of a Version do with an execution.
    pub(super) fn behaviour(&self, run: &Execution, version: VersionId) -> Behaviour {
        let workers = &self.workers[usize::from(version.0)];
        if !workers.polling {
            return Behaviour::NoWorkers;
        }
        if workers.fixed {
            return workers.behaves;
        }
        run.kind
            .profile
            .on
            .get(&version)
            .copied()
            .unwrap_or(workers.behaves)
    }

    fn arrive(&mut self, group: usize) {
        let group: Group = self.world.workflows[group].clone();
        self.populate_group(&group, false);
    }

    /// NOT_FOUND for any namespace but the only one.
    pub(super) fn check_namespace(&self, namespace: &str) -> Result<(), Reply> {
        if namespace.is_empty() {
            return Err(Reply::invalid_argument("Namespace is empty."));
        }
        if namespace != self.namespace {
            return Err(Reply::not_found(format!(
                "Namespace {namespace} is not found."
            )));
        }
        Ok(())
    }

    /// Makes a Version that was at rest drain again, where somebody was pinned to it.
    pub(super) fn pinned_to(&mut self, version: VersionId) {
        let rests = self.version_state(version).is_some_and(|state| {
            matches!(state.drainage, Drainage::None | Drainage::Drained { .. })
        });
        if rests && !self.is_routed(version) {
            self.begin_draining(version);
        }
    }
}

/// What a call started it with; none where the world began with it.
fn asked_start(run: &Execution) -> Option<WorkflowExecutionStartedEventAttributes> {
    let bytes = run.extra.as_ref()?.start.as_ref()?;
    WorkflowExecutionStartedEventAttributes::decode(&bytes[..]).ok()
}

/// The order of a listing: open first, then the latest closed, then the latest started.
pub(super) fn order_key(snapshot: Snapshot, started: Timestamp, run: u128) -> OrderKey {
    (
        Reverse(snapshot.closed.unwrap_or(Timestamp::MAX)),
        Reverse(started),
        run,
    )
}

/// The last event of an execution that closes by itself.
pub(super) fn closing_event(status: Status) -> What {
    match status {
        Status::Failed => What::Failed("the Workflow failed"),
        Status::TimedOut => What::TimedOut,
        Status::Canceled => What::Canceled,
        Status::ContinuedAsNew => What::ContinuedAsNew(Arc::new(0)),
        Status::Terminated => What::Terminated(Arc::new(TerminateMark {
            reason: "by hand".to_owned(),
            details: None,
            identity: "operator".to_owned(),
        })),
        Status::Running | Status::Paused | Status::Completed => What::Completed,
    }
}

fn numbered(value: &serde_json::Value, number: u32) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => text.replace("{n}", &number.to_string()).into(),
        serde_json::Value::Array(all) => all.iter().map(|one| numbered(one, number)).collect(),
        serde_json::Value::Object(map) => map
            .iter()
            .map(|(key, one)| (key.clone(), numbered(one, number)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}
