//! A world becomes a state: deployments, then groups of Workflows, then what is due by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::check::{WorldError, check, only};
use super::deployments::{Deployment, Drainage, Ramp, VersionState};
use super::execution::{Child, Execution, Extra, Kind, Override, Profile, Task};
use super::faults::{Fault, Injector};
use super::history::{ChildMark, Event, History, What};
use super::script::{Plot, script};
use super::state::{Due, State, VersionId};
use super::visibility::attribute_value;
use super::world::{
    Children, Group, GroupBehavior, GroupStatus, GroupTask, Happening, IdleStatus, OnCancel, Span,
    Superseding, World,
};
use crate::survey::{Behavior, Status};

/// A world's state at `begin`.
pub(super) fn populate(
    world: &World,
    faults: &[Fault],
    seed: u64,
    begin: Timestamp,
) -> Result<State, WorldError> {
    let problems = check(world, faults);
    if !problems.is_empty() {
        return Err(WorldError { problems });
    }
    let injector = Injector::new(faults, seed, begin);
    let mut state = State::empty(world, injector, seed, begin);
    state.add_deployments();
    state.add_profiles();
    for (index, group) in world.workflows.iter().enumerate() {
        match group.arrives {
            None => state.populate_group(group, true),
            Some(after) => state.due_after(after.0, Due::Arrive { group: index }),
        }
    }
    state.add_drainage();
    state.add_future();
    state.add_locks();
    for lineage in state.by_id.values_mut() {
        lineage.tally = super::facts::Tally::default();
    }
    Ok(state)
}

pub(super) fn workflow_id(group: &Group, number: u32) -> String {
    let template = group
        .id
        .clone()
        .unwrap_or_else(|| group.workflow_type.to_lowercase());
    if template.contains("{n}") {
        template.replace("{n}", &number.to_string())
    } else if group.count > 1 {
        format!("{template}-{number}")
    } else {
        template
    }
}

fn signed(span: Span) -> SignedDuration {
    SignedDuration::try_from(span.0).unwrap_or(SignedDuration::MAX)
}

pub(super) fn status_of(status: GroupStatus) -> Status {
    match status {
        GroupStatus::Running => Status::Running,
        GroupStatus::Completed => Status::Completed,
        GroupStatus::Failed => Status::Failed,
        GroupStatus::Canceled => Status::Canceled,
        GroupStatus::Terminated => Status::Terminated,
        GroupStatus::ContinuedAsNew => Status::ContinuedAsNew,
        GroupStatus::TimedOut => Status::TimedOut,
    }
}

impl State {
    fn add_deployments(&mut self) {
        for (name, world) in self.world.deployments.clone() {
            let mut versions = BTreeMap::new();
            for (build, version) in &world.versions {
                let id = self.version_id(&name, build);
                let queues: BTreeSet<Arc<str>> = version
                    .task_queues
                    .iter()
                    .map(|queue| queue.as_str().into())
                    .collect();
                let workers = &mut self.workers[usize::from(id.0)];
                workers.behaves = version.behaves;
                workers.polling = version.workers;
                workers.task_queues.clone_from(&queues);
                workers.stops_when = version.stops_when;
                let created = self.begin - signed(version.created);
                versions.insert(
                    build.as_str().into(),
                    VersionState::new(id, created, queues),
                );
                if let Some(fixed) = version.fixed {
                    let behaves = fixed.behaves;
                    self.due_after(
                        fixed.after.0,
                        Due::Fixed {
                            version: id,
                            behaves,
                        },
                    );
                }
                if let Some(stops) = version.stops {
                    self.due_after(stops.0, Due::StopWorkers { version: id });
                }
            }
            let find = |build: &Option<String>| {
                build
                    .as_ref()
                    .and_then(|build| versions.get(build.as_str()))
                    .map(|version| version.id)
            };
            let (current, ramping) = (find(&world.current), find(&world.ramping));
            for version in versions.values_mut() {
                version.current_since = (current == Some(version.id)).then_some(version.created);
                version.ramping_since = (ramping == Some(version.id)).then_some(version.created);
            }
            let created = versions
                .values()
                .map(|version| version.created)
                .min()
                .unwrap_or(self.begin);
            let name: Arc<str> = name.into();
            self.deployments.insert(
                name.clone(),
                Deployment {
                    name,
                    created,
                    versions,
                    current,
                    ramp: ramping.map(|target| Ramp {
                        target: Some(target),
                        percentage: world.ramp_percentage,
                    }),
                    current_changed: current.map(|_| created),
                    ramp_changed: ramping.map(|_| created),
                    revision: 1,
                    manager: world.manager_identity.clone().unwrap_or_default(),
                    modifier: "deployer".to_owned(),
                },
            );
        }
    }

    /// What Workers do with each type, also where it is started anew later.
    fn add_profiles(&mut self) {
        for group in self.world.workflows.clone() {
            let Some(deployment) = group.deployment.clone().or_else(|| only(&self.world)) else {
                continue;
            };
            let on = group
                .on
                .iter()
                .map(|(build, does)| (self.version_id(&deployment, build), *does))
                .collect();
            let profile = Arc::new(Profile::of(&group, on));
            self.profiles
                .entry(group.workflow_type.as_str().into())
                .or_insert(profile);
        }
    }

    fn add_drainage(&mut self) {
        let used: BTreeSet<VersionId> = self
            .executions
            .iter()
            .flat_map(|run| run.used.iter().copied())
            .collect();
        let versions: Vec<VersionId> = self
            .deployments
            .values()
            .flat_map(|it| it.versions.values().map(|version| version.id))
            .collect();
        for version in versions {
            if self.is_routed(version) {
                continue;
            }
            let name = self.version_name(version).clone();
            let stated = self.world.deployments[&*name.deployment].versions[&*name.build].status;
            let running = self
                .running_on
                .get(&version)
                .is_some_and(|count| *count > 0);
            let status = stated.unwrap_or(match (running, used.contains(&version)) {
                (true, _) => IdleStatus::Draining,
                (false, true) => IdleStatus::Drained,
                (false, false) => IdleStatus::Inactive,
            });
            match status {
                IdleStatus::Inactive => {}
                IdleStatus::Draining => self.begin_draining(version),
                IdleStatus::Drained => self.set_drained(version),
            }
        }
    }

    fn set_drained(&mut self, version: VersionId) {
        let (name, at) = (self.version_name(version).clone(), self.begin);
        if let Some(state) = self
            .deployments
            .get_mut(&name.deployment)
            .and_then(|it| it.versions.get_mut(&name.build))
        {
            state.drainage = Drainage::Drained {
                changed: at,
                checked: at,
            };
        }
    }

    fn add_future(&mut self) {
        for (controller, it) in self.world.controllers.clone().into_iter().enumerate() {
            for at in &it.at {
                self.due_after(at.0, Due::Control { controller });
            }
            if let (true, Some(every)) = (it.at.is_empty(), it.every) {
                self.due_after(every.0, Due::Control { controller });
            }
        }
        for it in self.world.batches.jobs.clone() {
            self.add_foreign_job(&it);
        }
        for (act, it) in self.world.operators.clone().into_iter().enumerate() {
            self.due_after(it.at.0, Due::Operate { act });
        }
    }

    /// Puts a group's Workflows into the state.
    pub(super) fn populate_group(&mut self, group: &Group, at_begin: bool) {
        let Some(seed) = self.seed(group, at_begin) else {
            return;
        };
        let plain = group.children.is_none();
        let shared: Arc<[Event]> = if plain {
            script(&seed.plot(group, &[])).into()
        } else {
            Arc::from([])
        };
        for number in 0..group.count {
            self.add_member(
                group,
                &seed,
                number,
                plain.then(|| shared.clone()),
                at_begin,
            );
        }
    }

    fn seed(&mut self, group: &Group, at_begin: bool) -> Option<Seed> {
        let name = group
            .deployment
            .clone()
            .or_else(|| self.only_deployment())?;
        let deployment = self.deployments.get(name.as_str())?;
        let version = match &group.version {
            Some(build) => deployment.versions.get(build.as_str())?.id,
            None => deployment.current?,
        };
        let queue = group.task_queue.as_deref().map(Arc::from).or_else(|| {
            self.workers[usize::from(version.0)]
                .task_queues
                .first()
                .cloned()
        });
        let moved = group
            .versioning_override
            .as_ref()
            .and_then(|build| self.find_version(&name, build));
        let on = group
            .on
            .iter()
            .filter_map(|(build, does)| Some((self.find_version(&name, build)?, *does)))
            .collect();
        let attributes = group.attributes.iter().filter_map(|(key, value)| {
            Some((
                key.clone(),
                attribute_value(self.world.attributes.get(key).copied(), value)?,
            ))
        });
        let kind = Kind {
            workflow_type: group.workflow_type.as_str().into(),
            task_queue: queue.unwrap_or_else(|| "default".into()),
            deployment: name.as_str().into(),
            profile: Arc::new(Profile::of(group, on)),
            run_timeout: group.timeout.map(|timeout| timeout.0),
            execution_timeout: None,
            attributes: attributes.collect(),
            input: group.input.clone(),
            cron: group.cron.clone(),
        };
        let happenings: Vec<_> = group
            .history
            .iter()
            .map(|it| {
                let version = it.version.as_deref();
                let version = version.and_then(|build| self.find_version(&name, build));
                (it.clone(), version)
            })
            .collect();
        let ago = if at_begin {
            signed(group.started)
        } else {
            SignedDuration::ZERO
        };
        let closed_ago = signed(group.closed).min(ago);
        let failing_ago = signed(group.failing_for).min(ago);
        Some(Seed {
            kind: Arc::new(kind),
            version,
            moved: moved.map(Override::Pinned),
            origin: self.now - ago,
            happenings: happenings.into(),
            now: micros(ago),
            closed: micros(ago - closed_ago),
            failing: micros(ago - failing_ago),
        })
    }

    fn add_member(
        &mut self,
        group: &Group,
        seed: &Seed,
        number: u32,
        shared: Option<Arc<[Event]>>,
        at_begin: bool,
    ) {
        let id: Arc<str> = workflow_id(group, number).into();
        let origin = seed.origin + SignedDuration::from_millis(i64::from(number));
        let origin = if at_begin {
            origin.min(self.begin)
        } else {
            origin.min(self.now)
        };
        let chain = self.chain(group, seed, &id, number, origin);
        let marks = self.child_marks(group, &id, &seed.kind.task_queue);
        let events = shared.unwrap_or_else(|| script(&seed.plot(group, &marks)).into());
        let run = chain.map_or_else(|| self.random.run_id(), |(_, _, run)| run);
        let mut execution = self.member(
            group,
            seed,
            id.clone(),
            number,
            run,
            History::new(events, origin),
        );
        if let Some((first, before, _)) = chain {
            execution.first_run = first;
            execution.extra_mut().continued_from = Some(before);
        }
        if !marks.is_empty() {
            execution.extra_mut().children = initiated(&execution.history, &marks);
        }
        let waits = group.waits.filter(|_| group.status == GroupStatus::Running);
        if let Some(waits) = waits {
            execution.extra_mut().waits_until = Some(self.now + signed(waits));
        }
        let index = self.insert(execution, at_begin);
        if let Some(waits) = waits {
            self.due_after(waits.0, Due::FirstTask { index });
        }
        self.set_pending(index, group, seed, at_begin);
        if let Some(children) = &group.children {
            self.add_children(index, children, &marks, seed, at_begin);
        }
        if let Some(other) = &group.superseded_by {
            self.supersede(seed, other, &id, number);
        }
        if group.reset_by_hand {
            let now = self.now;
            self.now = now - SignedDuration::from_secs(60);
            self.reset_by_hand(index, None);
            self.now = now;
        }
        if let Some(closes) = group.closes {
            self.due_after(
                closes.0,
                Due::Closes {
                    index,
                    status: status_of(group.closes_as),
                },
            );
        }
    }

    fn member(
        &mut self,
        group: &Group,
        seed: &Seed,
        id: Arc<str>,
        number: u32,
        run: u128,
        history: History,
    ) -> Execution {
        let status = status_of(group.status);
        let completed = history.last_completed();
        let started = history.origin();
        Execution {
            id,
            run,
            kind: seed.kind.clone(),
            number,
            status,
            started,
            closed: (!status.is_open()).then(|| history.last_time()),
            behavior: completed.map_or(Behavior::Unspecified, |(_, behavior)| behavior),
            ran_on: completed.map(|(version, _)| version),
            used: self.used_list(&history),
            inherited: completed.is_none().then_some(seed.version),
            moved: seed.moved,
            task: Task::None,
            working: false,
            generation: 0,
            problems: false,
            history,
            reset_run: None,
            last_reset: None,
            first_run: run,
            original_run: run,
            request_id: None,
            visible: None,
            extra: None,
        }
    }

    fn set_pending(&mut self, index: u32, group: &Group, seed: &Seed, at_begin: bool) {
        if group.status != GroupStatus::Running || group.waits.is_some() {
            return;
        }
        self.set_pending_task(index, group.task, seed, at_begin);
    }

    fn set_pending_task(&mut self, index: u32, task: GroupTask, seed: &Seed, at_begin: bool) {
        let now = self.now;
        let since = if at_begin {
            seed.origin + SignedDuration::from_micros(seed.failing)
        } else {
            now
        };
        let (version, original) = (
            self.execution(index).ran_on.unwrap_or(seed.version),
            self.execution(index).history.last_time().min(now),
        );
        let task = match task {
            GroupTask::None => return,
            GroupTask::Failing | GroupTask::Erring => Task::Retrying {
                version,
                since,
                original: since,
                first: 1,
            },
            GroupTask::Progressing => Task::Taken {
                version,
                started: original,
                original,
            },
            GroupTask::Unpolled => Task::Scheduled {
                version: self.route(index),
                since: original,
                original,
                attempt: 1,
            },
        };
        self.set_task(index, task);
        if matches!(task, Task::Taken { .. }) {
            let generation = self.execution(index).generation;
            self.due_after(
                std::time::Duration::from_secs(10),
                Due::Dispatch { index, generation },
            );
        }
    }

    /// The earlier runs of a chain: the first run's id, the id of the one before the last, and the id that
    /// the last run is to have.
    fn chain(
        &mut self,
        group: &Group,
        seed: &Seed,
        id: &Arc<str>,
        number: u32,
        origin: Timestamp,
    ) -> Option<(u128, u128, u128)> {
        let mut next = self.random.run_id();
        let first = next;
        let mut before = None;
        for earlier in (0..group.chain).rev() {
            let run = next;
            next = self.random.run_id();
            let plot = Plot {
                status: Status::ContinuedAsNew,
                ..seed.plot(group, &[])
            };
            let mut events = script(&plot);
            if let Some(last) = events.last_mut() {
                last.what = What::ContinuedAsNew(Arc::new(next));
            }
            let origin = origin - SignedDuration::from_secs(i64::from(earlier + 1) * 60);
            let history = History::new(events.into(), origin);
            let mut execution = self.member(group, seed, id.clone(), number, run, history);
            execution.status = Status::ContinuedAsNew;
            execution.closed = Some(execution.history.last_time().min(self.now));
            execution.first_run = first;
            if let Some(before) = before {
                execution.extra_mut().continued_from = Some(before);
            }
            before = Some(run);
            self.insert(execution, true);
        }
        before.map(|before| (first, before, next))
    }

    fn child_marks(&mut self, group: &Group, id: &str, queue: &Arc<str>) -> Vec<Arc<ChildMark>> {
        let Some(children) = &group.children else {
            return Vec::new();
        };
        let workflow_type: Arc<str> = children.workflow_type.as_str().into();
        (0..children.count)
            .map(|number| {
                Arc::new(ChildMark {
                    id: format!("{id}/child-{number}").into(),
                    run: self.random.run_id(),
                    workflow_type: workflow_type.clone(),
                    task_queue: queue.clone(),
                })
            })
            .collect()
    }

    fn add_children(
        &mut self,
        parent: u32,
        children: &Children,
        marks: &[Arc<ChildMark>],
        seed: &Seed,
        at_begin: bool,
    ) {
        let version = children
            .version
            .as_ref()
            .and_then(|build| self.find_version(&seed.kind.deployment, build))
            .unwrap_or(seed.version);
        let kind = Arc::new(Kind {
            workflow_type: children.workflow_type.as_str().into(),
            task_queue: seed.kind.task_queue.clone(),
            deployment: seed.kind.deployment.clone(),
            profile: self
                .profiles
                .get(children.workflow_type.as_str())
                .cloned()
                .unwrap_or_else(|| seed.kind.profile.clone()),
            run_timeout: None,
            execution_timeout: None,
            attributes: Vec::new(),
            input: None,
            cron: None,
        });
        let seed = Seed {
            kind,
            version,
            moved: None,
            ..seed.clone()
        };
        let plot = Plot {
            version,
            behavior: Behavior::Pinned,
            tasks: 1,
            signals: 0,
            updates: 0,
            happenings: &[],
            events: 0,
            waits: false,
            children: &[],
            task: children.task,
            status: Status::Running,
            now: seed.now,
            failing: seed.failing,
            closed: 0,
        };
        let events: Arc<[Event]> = script(&plot).into();
        for (number, mark) in (0u32..).zip(marks) {
            let blank: Group = blank(&children.workflow_type);
            let history = History::new(events.clone(), self.execution(parent).started);
            let mut execution =
                self.member(&blank, &seed, mark.id.clone(), number, mark.run, history);
            execution.inherited = Some(version);
            execution.extra = Some(Box::new(Extra {
                parent: Some(parent),
                ..Default::default()
            }));
            let index = self.insert(execution, at_begin);
            self.set_pending_task(index, children.task, &seed, at_begin);
        }
    }

    fn supersede(&mut self, seed: &Seed, other: &Superseding, id: &Arc<str>, number: u32) {
        let workflow_type = other
            .workflow_type
            .as_deref()
            .unwrap_or(&seed.kind.workflow_type);
        let deployment = &seed.kind.deployment;
        let current = self
            .deployments
            .get(deployment)
            .and_then(|deployment| deployment.current);
        let named = other
            .version
            .as_ref()
            .and_then(|build| self.find_version(deployment, build));
        let Some(version) = named.or(current) else {
            return;
        };
        let kind = Kind {
            workflow_type: workflow_type.into(),
            task_queue: seed.kind.task_queue.clone(),
            deployment: deployment.clone(),
            profile: self
                .profiles
                .get(workflow_type)
                .cloned()
                .unwrap_or_else(|| seed.kind.profile.clone()),
            run_timeout: None,
            execution_timeout: None,
            attributes: Vec::new(),
            input: None,
            cron: None,
        };
        let group = Group {
            status: other.status,
            ..blank(workflow_type)
        };
        let origin = self.now - SignedDuration::from_secs(60);
        let seed = Seed {
            kind: Arc::new(kind),
            version,
            moved: None,
            origin,
            happenings: Arc::from([]),
            now: 60_000_000,
            closed: 30_000_000,
            failing: 0,
        };
        let events = script(&seed.plot(&group, &[])).into();
        let run = self.random.run_id();
        let execution = self.member(
            &group,
            &seed,
            id.clone(),
            number,
            run,
            History::new(events, origin),
        );
        self.insert(execution, true);
    }
}

/// A group of one, all by default.
fn blank(workflow_type: &str) -> Group {
    Group {
        workflow_type: workflow_type.to_owned(),
        count: 1,
        id: None,
        status: GroupStatus::Running,
        behavior: GroupBehavior::Pinned,
        deployment: None,
        version: None,
        versioning_override: None,
        task_queue: None,
        started: Span::seconds(3_600),
        closed: Span::seconds(1_800),
        task: GroupTask::None,
        failing_for: Span::seconds(600),
        tasks: 1,
        signals: 0,
        updates: 0,
        timeout: None,
        on: BTreeMap::new(),
        takes: Span::seconds(60),
        children: None,
        reset_by_hand: false,
        superseded_by: None,
        chain: 0,
        attributes: BTreeMap::new(),
        input: None,
        arrives: None,
        closes: None,
        closes_as: GroupStatus::Completed,
        history: Vec::new(),
        events: None,
        cron: None,
        waits: None,
        on_cancel: OnCancel::default(),
        cancel_takes: None,
        on_signal: BTreeMap::new(),
        queries: BTreeMap::new(),
    }
}

fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn initiated(history: &History, marks: &[Arc<ChildMark>]) -> Vec<Child> {
    marks
        .iter()
        .map(|mark| {
            let position = history.iter().position(
                |event| matches!(&event.what, What::ChildInitiated(other) if Arc::ptr_eq(other, mark)),
            );
            Child {
                mark: mark.clone(),
                initiated: position.and_then(|position| i64::try_from(position + 1).ok()).unwrap_or_default(),
                done: false,
            }
        })
        .collect()
}

/// What the members of a group are made from.
#[derive(Clone)]
struct Seed {
    kind: Arc<Kind>,
    version: VersionId,
    moved: Option<Override>,
    origin: Timestamp,
    happenings: Arc<[(Happening, Option<VersionId>)]>,
    now: i64,
    closed: i64,
    failing: i64,
}

impl Seed {
    fn plot<'a>(&'a self, group: &Group, children: &'a [Arc<ChildMark>]) -> Plot<'a> {
        Plot {
            version: self.version,
            behavior: match group.behavior {
                GroupBehavior::Pinned => Behavior::Pinned,
                GroupBehavior::AutoUpgrade => Behavior::AutoUpgrade,
            },
            tasks: group.tasks,
            signals: group.signals,
            updates: group.updates,
            happenings: &self.happenings,
            events: group.events.unwrap_or_default() as usize,
            waits: group.waits.is_some() && group.status == GroupStatus::Running,
            children,
            task: group.task,
            status: status_of(group.status),
            now: self.now,
            failing: self.failing,
            closed: self.closed,
        }
    }
}
