//! A seed → a case: the world, the runbook, and what goes wrong.

use std::time::Duration;

use runbook::simulator::world::{
    Behaviour, Children, Controller, DeploymentWorld, Group, GroupBehavior, GroupStatus, GroupTask,
    OperatorAct, OperatorDoes, Span, Superseding, VersionWorld, World,
};
use runbook::simulator::{Effect, Fault, FaultKind};

use super::case::{
    Book, Case, Death, Does, Double, Life, Mishap, Row, Scope, Source, Stage, Step, Table, Treat,
};
use super::dice::Dice;

const TYPES: [&str; 4] = ["Alpha", "Beta", "Gamma", "Delta"];
const WRITES: [&str; 7] = [
    "ResetWorkflowExecution",
    "UpdateWorkflowExecutionOptions",
    "StartWorkflowExecution",
    "TerminateWorkflowExecution",
    "RequestCancelWorkflowExecution",
    "SignalWorkflowExecution",
    "StartBatchOperation",
];
const READS: [&str; 6] = [
    "DescribeWorkflowExecution",
    "ListWorkflowExecutions",
    "CountWorkflowExecutions",
    "GetWorkflowExecutionHistory",
    "GetWorkflowExecutionHistoryReverse",
    "DescribeWorkerDeployment",
];

/// Draws everything.
pub(crate) fn case(seed: u64) -> Case {
    let mut dice = Dice::new(seed);
    let mut world = world(&mut dice);
    let mut book = book(&mut dice, &mut world);
    super::people::draw(seed, &mut book);
    let calm = dice.percent(15);
    let faults = if calm { Vec::new() } else { faults(&mut dice) };
    let doubles = if calm { Vec::new() } else { doubles(&mut dice) };
    let mut lives = lives(&mut dice);
    super::people::draw_voices(seed, &book, &mut lives);
    let dry_first = dice.percent(20);
    Case {
        seed,
        world,
        book,
        faults,
        doubles,
        lives,
        dry_first,
    }
}

fn world(dice: &mut Dice) -> World {
    let mut world = World::default();
    world.deployments.insert("orders".to_owned(), routing(dice));
    let groups = dice.pick(&[1, 2, 2, 3, 3, 4]);
    for number in 0..groups {
        let group = group(dice, number);
        world.workflows.push(group);
    }
    world.limits.visibility_lag = dice.pick(&[
        Span::millis(0),
        Span::millis(500),
        Span::millis(500),
        Span::seconds(3),
        Span::seconds(15),
    ]);
    world.limits.visibility_jitter = dice.pick(&[
        Span::millis(0),
        Span::millis(0),
        Span::seconds(2),
        Span::seconds(20),
    ]);
    if dice.percent(15) {
        world.limits.rate_limit = Some(dice.count(5, 30));
    }
    world.latency = dice.pick(&[Span::millis(1), Span::millis(5), Span::millis(80)]);
    world.drainage.grace = Span::seconds(60);
    world.drainage.refresh = Span::seconds(60);
    world.batches.concurrent = dice.count(1, 2);
    if dice.percent(30) {
        world.batches.fails_every = Some(dice.between(2, 4));
    }
    if dice.percent(30) {
        world.batches.interrupted_after = Some(dice.between(1, 3));
    }
    for _ in 0..dice.pick(&[0, 0, 1, 2, 4]) {
        let act = act(dice);
        world.operators.push(act);
    }
    if dice.percent(25) {
        world.controllers.push(Controller {
            deployment: None,
            ramps: dice.pick(&["bad", "safe", "good"]).to_owned(),
            percentage: 10.0,
            at: vec![dice.span(1_000, 300_000)],
            every: None,
            until: None,
            current: dice.percent(50),
        });
    }
    world
}

fn routing(dice: &mut Dice) -> DeploymentWorld {
    let version = |behaves: Behaviour| VersionWorld {
        task_queues: vec!["orders".to_owned()],
        behaves,
        ..VersionWorld::default()
    };
    let good = dice.pick(&[Behaviour::Complete, Behaviour::Idle]);
    let bad = dice.pick(&[Behaviour::FailTasks, Behaviour::FailTasks, Behaviour::Idle]);
    let safe = dice.pick(&[
        Behaviour::Complete,
        Behaviour::Idle,
        Behaviour::Idle,
        Behaviour::FailTasks,
        Behaviour::NoWorkers,
    ]);
    let versions = [("good", good), ("bad", bad), ("safe", safe)];
    let current = dice.pick(&["bad", "bad", "good"]);
    let ramping = (current == "good" && dice.percent(50)).then(|| "bad".to_owned());
    DeploymentWorld {
        current: Some(current.to_owned()),
        ramp_percentage: if ramping.is_some() { 10.0 } else { 0.0 },
        ramping,
        manager_identity: None,
        versions: versions
            .map(|(name, behaves)| (name.to_owned(), version(behaves)))
            .into(),
    }
}

fn group(dice: &mut Dice, number: u32) -> Group {
    let workflow_type = dice.pick(&TYPES);
    let text = format!("{{ \"type\": \"{workflow_type}\" }}");
    let mut group: Group = serde_json::from_str(&text).expect("a group");
    group.id = Some(format!("g{number}"));
    group.count = dice.pick(&[1, 1, 2, 3, 4]);
    group.version = Some(
        dice.pick(&["bad", "bad", "bad", "bad", "bad", "good", "safe"])
            .to_owned(),
    );
    group.tasks = dice.count(1, 3);
    group.signals = dice.pick(&[0, 0, 2]);
    if dice.percent(25) {
        group.status = dice.pick(&[
            GroupStatus::Completed,
            GroupStatus::Failed,
            GroupStatus::TimedOut,
            GroupStatus::Terminated,
        ]);
        group.superseded_by = dice.percent(25).then(|| Superseding {
            workflow_type: None,
            status: dice.pick(&[GroupStatus::Running, GroupStatus::Completed]),
            version: Some(dice.pick(&["bad", "good"]).to_owned()),
        });
        group.chain = dice.pick(&[0, 0, 0, 1]);
        return group;
    }
    group.task = dice.pick(&[
        GroupTask::None,
        GroupTask::None,
        GroupTask::Failing,
        GroupTask::Failing,
        GroupTask::Progressing,
        GroupTask::Unpolled,
    ]);
    if dice.percent(15) {
        group.behavior = GroupBehavior::AutoUpgrade;
    }
    if dice.percent(15) {
        group.versioning_override = Some(dice.pick(&["safe", "bad"]).to_owned());
    }
    if dice.percent(15) {
        group.children = Some(Children {
            workflow_type: dice.pick(&TYPES).to_owned(),
            count: 1,
            task: GroupTask::None,
            version: None,
        });
    }
    if dice.percent(12) {
        group.reset_by_hand = true;
    } else if dice.percent(10) {
        group.chain = 1;
    }
    if dice.percent(15) {
        group.timeout = Some(dice.pick(&[Span::seconds(3_700), Span::seconds(4_000)]));
    }
    if dice.percent(20) {
        group.arrives = Some(dice.span(1_000, 90_000));
    }
    if dice.percent(20) {
        group.closes = Some(dice.span(500, 120_000));
        group.closes_as = dice.pick(&[
            GroupStatus::Completed,
            GroupStatus::Failed,
            GroupStatus::ContinuedAsNew,
            GroupStatus::ContinuedAsNew,
        ]);
    }
    group
}

fn act(dice: &mut Dice) -> OperatorAct {
    OperatorAct {
        at: dice.span(200, 120_000),
        does: dice.pick(&[
            OperatorDoes::Reset,
            OperatorDoes::Move,
            OperatorDoes::Terminate,
            OperatorDoes::Signal,
            OperatorDoes::Cancel,
            OperatorDoes::Restart,
            OperatorDoes::ContinueAsNew,
            OperatorDoes::StartChild,
        ]),
        workflow_type: dice.pick(&TYPES).to_owned(),
        count: dice.count(1, 3),
        to: Some(dice.pick(&["safe", "good", "bad"]).to_owned()),
    }
}

fn book(dice: &mut Dice, world: &mut World) -> Book {
    let mut stages = Vec::new();
    let mut earlier: Vec<String> = Vec::new();
    if dice.percent(40) {
        stages.push(Stage::Step(plain("stop", Does::StopRollout)));
    }
    let count = dice.pick(&[1, 1, 2, 3]);
    for number in 0..count {
        let id = format!("s{number}");
        if dice.percent(25) {
            let loop_id = format!("l{number}");
            let first = if dice.percent(25) {
                growing(dice, &id, world)
            } else {
                writing(dice, &id, &earlier, world)
            };
            let mut steps = vec![first];
            let until = scope_of(&steps[0]).unwrap_or_else(|| Scope {
                types: vec!["Nothing"],
                ..Scope::default()
            });
            let until = Scope {
                mark: loop_id.clone(),
                ..until
            };
            if dice.percent(40) {
                steps.push(plain(
                    &format!("{id}_health"),
                    Does::Verify {
                        of: vec![id.clone()],
                    },
                ));
                if let Some(last) = steps.last_mut() {
                    last.go_on = true;
                }
            }
            if dice.percent(30) {
                steps.push(plain(&format!("{id}_drain"), Does::Drainage));
            }
            stages.push(Stage::Loop {
                id: loop_id,
                until,
                steps,
            });
        } else {
            stages.push(Stage::Step(writing(dice, &id, &earlier, world)));
            if dice.percent(25) {
                let of = vec![id.clone()];
                stages.push(Stage::Step(plain(
                    &format!("{id}_health"),
                    Does::Verify { of },
                )));
            }
        }
        earlier.push(id);
        if dice.percent(15) {
            let seconds = dice.between(1, 60);
            stages.push(Stage::Step(plain(
                &format!("p{number}"),
                Does::Pause(seconds),
            )));
        }
    }
    if dice.percent(20) {
        let version = dice.pick(&["good", "safe"]);
        stages.push(Stage::Step(plain("current", Does::SetCurrent(version))));
    }
    Book { stages }
}

fn plain(id: &str, does: Does) -> Step {
    Step {
        id: id.to_owned(),
        does,
        canary: None,
        max_failures: None,
        max_workflows: None,
        go_on: false,
        agreement: None,
    }
}

fn scope_of(step: &Step) -> Option<Scope> {
    match &step.does {
        Does::Decide(table) => Some(table.scope.clone()),
        Does::Take {
            from: Source::Query(scope),
            ..
        } => Some(scope.clone()),
        _ => None,
    }
}

fn writing(dice: &mut Dice, id: &str, earlier: &[String], world: &World) -> Step {
    let does = if dice.percent(45) {
        Does::Decide(table(dice, id, earlier))
    } else {
        take(dice, id, earlier, world)
    };
    let batch = matches!(&does, Does::Take { batch: true, .. });
    Step {
        id: id.to_owned(),
        does,
        canary: (!batch && dice.percent(20)).then(|| dice.count(1, 2)),
        max_failures: dice.percent(20).then(|| dice.count(0, 3)),
        max_workflows: dice.percent(10).then(|| dice.count(3, 12)),
        go_on: dice.percent(40),
        agreement: None,
    }
}

/// A batch job an iteration, and Workflows that come while the loop turns.
fn growing(dice: &mut Dice, id: &str, world: &mut World) -> Step {
    for number in 0..2 {
        let mut late = group(dice, 90 + number);
        late.status = GroupStatus::Running;
        late.superseded_by = None;
        late.closes = None;
        late.arrives = Some(dice.span(2_000, 100_000));
        if world.workflows.iter().all(|known| known.id != late.id) {
            world.workflows.push(late);
        }
    }
    let scope = Scope {
        statuses: vec!["Running"],
        mark: id.to_owned(),
        ..Scope::default()
    };
    let does = Does::Take {
        from: Source::Query(scope),
        treat: dice.pick(&[Treat::Signal, Treat::Cancel, Treat::Move("safe")]),
        batch: true,
    };
    plain(id, does)
}

fn scope(dice: &mut Dice, mark: &str) -> Scope {
    let statuses: Vec<&'static str> = dice.pick(&[
        vec!["Running"],
        vec!["Running"],
        vec!["Running"],
        vec!["Failed", "TimedOut"],
        vec!["Failed", "Completed"],
    ]);
    Scope {
        types: if dice.percent(35) {
            dice.some(&TYPES)
        } else {
            Vec::new()
        },
        statuses,
        version: dice.percent(75).then_some("bad"),
        pinned: dice.percent(40),
        mark: mark.to_owned(),
    }
}

fn treat(dice: &mut Dice, open: bool) -> Treat {
    let reset = |dice: &mut Dice| Treat::Reset {
        to: dice.pick(&["first_workflow_task", "last_workflow_task"]),
        signals: dice.percent(50),
        version: dice.pick(&[Some("safe"), Some("good"), None]),
        again: dice.percent(15),
    };
    if !open {
        return if dice.percent(60) {
            reset(dice)
        } else {
            Treat::Restart("safe")
        };
    }
    match dice.between(0, 9) {
        0..=2 => Treat::Move(dice.pick(&["safe", "good"])),
        3..=5 => reset(dice),
        6 => Treat::Restart(dice.pick(&["safe", "good"])),
        7 => Treat::Terminate,
        8 => Treat::Cancel,
        _ => Treat::Signal,
    }
}

fn table(dice: &mut Dice, id: &str, earlier: &[String]) -> Table {
    let scope = scope(dice, id);
    let open = scope.is_open();
    let types = if scope.types.is_empty() {
        TYPES.to_vec()
    } else {
        scope.types.clone()
    };
    let mut rows = Vec::new();
    let mut left = types.clone();
    while !left.is_empty() && rows.len() < 3 {
        let kind = left.remove(0);
        let mut of = vec![kind];
        if rows.len() == 2 || dice.percent(30) {
            of.append(&mut left);
        }
        let number = rows.len();
        if open && dice.percent(40) {
            let treat = treat(dice, open);
            rows.push(Row {
                id: format!("{id}_r{number}_failing"),
                types: of.clone(),
                task: Some("failing"),
                fallback: fallback(dice, &treat),
                treat,
            });
        }
        if dice.percent(90) {
            let treat = treat(dice, open);
            rows.push(Row {
                id: format!("{id}_r{number}"),
                types: of,
                task: None,
                fallback: fallback(dice, &treat),
                treat,
            });
        }
    }
    if rows.is_empty() {
        let treat = treat(dice, open);
        rows.push(Row {
            id: format!("{id}_r0"),
            types,
            task: None,
            fallback: None,
            treat,
        });
    }
    let also_lost_by =
        (!open && !earlier.is_empty() && dice.percent(50)).then(|| dice.pick(earlier));
    Table {
        scope,
        unmatched: dice.pick(&["leave", "leave", "halt", "refuse"]),
        rows,
        also_lost_by,
    }
}

fn fallback(dice: &mut Dice, treat: &Treat) -> Option<Treat> {
    let may = matches!(treat, Treat::Reset { .. } | Treat::Restart(_)) && dice.percent(50);
    may.then_some(Treat::Move("safe"))
}

fn take(dice: &mut Dice, id: &str, earlier: &[String], world: &World) -> Does {
    let from = match dice.between(0, 9) {
        0..=1 => Source::Ids(ids(dice, world)),
        2..=3 if !earlier.is_empty() => Source::Ledger {
            step: dice.pick(earlier),
            state: dice.pick(&[
                "recovered",
                "moved",
                "started_over",
                "skipped",
                "failed",
                "refused",
            ]),
        },
        _ => Source::Query(scope(dice, id)),
    };
    let open = match &from {
        Source::Query(scope) => scope.is_open(),
        _ => true,
    };
    let treat = treat(dice, open);
    let plain = matches!(from, Source::Query(_)) && open;
    let batch = plain
        && !matches!(treat, Treat::Restart(_) | Treat::Reset { again: true, .. })
        && dice.percent(35);
    Does::Take { from, treat, batch }
}

fn ids(dice: &mut Dice, world: &World) -> Vec<String> {
    let mut ids = Vec::new();
    for (number, group) in world.workflows.iter().enumerate() {
        for member in 0..group.count {
            if dice.percent(40) {
                ids.push(if group.count > 1 {
                    format!("g{number}-{member}")
                } else {
                    format!("g{number}")
                });
            }
        }
    }
    if ids.is_empty() || dice.percent(20) {
        ids.push("nobody".to_owned());
    }
    ids
}

fn faults(dice: &mut Dice) -> Vec<Fault> {
    let mut faults = Vec::new();
    for _ in 0..dice.count(0, 3) {
        let kind = dice.pick(&[
            FaultKind::LostRequest,
            FaultKind::LostReply,
            FaultKind::LostReply,
            FaultKind::Unavailable,
            FaultKind::DeadlineExceeded,
            FaultKind::Internal,
            FaultKind::ResourceExhausted,
            FaultKind::Latency,
            FaultKind::PermissionDenied,
        ]);
        let effect = match kind {
            // What refuses has done nothing: that is what the tool relies on.
            FaultKind::PermissionDenied => Effect::Before,
            _ => dice.pick(&[Effect::Before, Effect::After]),
        };
        faults.push(Fault {
            rpc: Some(dice.pick(&WRITES).to_owned()),
            nth: Some(dice.between(1, 6)),
            every: None,
            probability: None,
            kind,
            effect: Some(effect),
            duration: (kind == FaultKind::Latency).then(|| dice.span(100, 18_000)),
            from: None,
            until: None,
        });
    }
    if dice.percent(25) {
        faults.push(Fault {
            rpc: Some(dice.pick(&WRITES).to_owned()),
            nth: None,
            every: None,
            probability: Some(0.3),
            kind: dice.pick(&[
                FaultKind::LostReply,
                FaultKind::Unavailable,
                FaultKind::ResourceExhausted,
                FaultKind::DeadlineExceeded,
            ]),
            effect: Some(dice.pick(&[Effect::Before, Effect::After])),
            duration: None,
            from: None,
            until: Some(Span::seconds(300)),
        });
    }
    if dice.percent(30) {
        let kind = dice.pick(&[
            FaultKind::Unavailable,
            FaultKind::ResourceExhausted,
            FaultKind::LostReply,
            FaultKind::Latency,
        ]);
        faults.push(Fault {
            rpc: Some(dice.pick(&READS).to_owned()),
            nth: None,
            every: Some(dice.between(2, 9)),
            probability: None,
            kind,
            effect: None,
            duration: (kind == FaultKind::Latency).then(|| dice.span(100, 8_000)),
            from: None,
            until: Some(Span::seconds(180)),
        });
    }
    faults
}

fn doubles(dice: &mut Dice) -> Vec<Double> {
    let mut doubles = Vec::new();
    if dice.percent(20) {
        doubles.push(Double {
            rpc: dice.pick(&WRITES),
            nth: dice.between(1, 5),
            after: dice.millis(1, 8_000),
        });
    }
    doubles
}

fn lives(dice: &mut Dice) -> Vec<Life> {
    let mut lives = Vec::new();
    for _ in 0..dice.pick(&[0, 1, 1, 2, 3]) {
        let death = match dice.between(0, 9) {
            0..=3 => Some(Death::AtByte {
                byte: dice.between(1, 12_000),
                kept: dice.pick(&[0, 1, 40, 300, 100_000]),
            }),
            4..=7 => Some(Death::AtCall {
                nth: dice.between(1, 60),
                answered: dice.percent(50),
                kept: dice.pick(&[0, 1, 40, 300, 100_000]),
            }),
            8 => Some(Death::Interrupted {
                nth: dice.between(3, 60),
            }),
            _ => None,
        };
        let mut mishaps = Vec::new();
        if dice.percent(25) {
            mishaps.push(Mishap::Frozen {
                nth: dice.between(3, 60),
                length: dice.millis(1_500, 400_000),
            });
        }
        if dice.percent(15) {
            mishaps.push(Mishap::Stalled {
                nth: dice.between(3, 60),
                length: dice.millis(500, 60_000),
            });
        }
        if dice.percent(20) {
            let seconds = i64::try_from(dice.between(0, 1_200)).unwrap_or(0) - 600;
            mishaps.push(Mishap::ClockSet {
                nth: dice.between(3, 60),
                seconds,
            });
        }
        lives.push(Life {
            death,
            mishaps,
            pause: dice.pick(&[
                Duration::from_millis(300),
                Duration::from_secs(1),
                Duration::from_secs(5),
                Duration::from_secs(60),
                Duration::from_secs(1_800),
            ]),
            retry_failed: dice.percent(25),
            unattended: dice.percent(5),
            limit: dice.percent(8).then(|| dice.between(1, 6)),
            voices: Vec::new(),
        });
    }
    lives
}
