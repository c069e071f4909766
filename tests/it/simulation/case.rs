//! What one seed draws, as data: a world, a runbook, and everything that goes wrong. All of it can be
//! printed, and taken away piece by piece while it still fails.

use std::fmt::Write as _;
use std::time::Duration;

use runbook::simulator::Fault;
use runbook::simulator::world::World;

/// One simulation.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) world: World,
    pub(crate) book: Book,
    /// What the service does wrong.
    pub(crate) faults: Vec<Fault>,
    /// What the network delivers twice.
    pub(crate) doubles: Vec<Double>,
    /// What happens to the processes, one after the other; later ones are left in peace.
    pub(crate) lives: Vec<Life>,
    /// A dry run comes first.
    pub(crate) dry_first: bool,
}

/// A request that arrives twice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Double {
    pub(crate) rpc: &'static str,
    pub(crate) nth: u64,
    pub(crate) after: Duration,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Life {
    pub(crate) death: Option<Death>,
    pub(crate) mishaps: Vec<Mishap>,
    /// Until somebody resumes.
    pub(crate) pause: Duration,
    pub(crate) retry_failed: bool,
    /// Nobody answers questions.
    pub(crate) unattended: bool,
    /// `--limit`
    pub(crate) limit: Option<u64>,
    /// Who answers while it is parked, after this one.
    pub(crate) voices: Vec<Voice>,
}

/// An answer to a run that nobody carries out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Voice {
    pub(crate) who: &'static str,
    pub(crate) yes: bool,
}

/// How a process ends before its time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Death {
    /// So many bytes of journal later; of what was not forced to the disk, `kept` bytes survive.
    AtByte { byte: u64, kept: u64 },
    /// At its nth call: before it leaves, or with the reply in hand.
    AtCall { nth: u64, answered: bool, kept: u64 },
    /// Ctrl-C at its nth call.
    Interrupted { nth: u64 },
}

/// What happens to a process and its clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mishap {
    /// It is frozen when its nth call was answered.
    Frozen { nth: u64, length: Duration },
    /// Its disk stalls in its nth commit.
    Stalled { nth: u64, length: Duration },
    /// Somebody sets its clock at its nth call.
    ClockSet { nth: u64, seconds: i64 },
}

/// A runbook, in parts that can be taken away.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) stages: Vec<Stage>,
}

/// A step, or a loop of them.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Step(Step),
    Loop {
        id: String,
        /// The loop ends when so many are left.
        until: Scope,
        steps: Vec<Step>,
    },
}

/// A step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) id: String,
    pub(crate) does: Does,
    pub(crate) canary: Option<u32>,
    pub(crate) max_failures: Option<u32>,
    pub(crate) max_workflows: Option<u32>,
    pub(crate) go_on: bool,
    /// So many people must agree, and whether whoever began or resumed the run is left out.
    pub(crate) agreement: Option<(u32, bool)>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Decide(Table),
    Take {
        from: Source,
        treat: Treat,
        batch: bool,
    },
    Verify {
        of: Vec<String>,
    },
    StopRollout,
    SetCurrent(&'static str),
    Drainage,
    Pause(u64),
}

/// A decision table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) scope: Scope,
    pub(crate) unmatched: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) also_lost_by: Option<String>,
}

/// A row of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) types: Vec<&'static str>,
    pub(crate) task: Option<&'static str>,
    pub(crate) treat: Treat,
    pub(crate) fallback: Option<Treat>,
}

/// Where Workflows come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Query(Scope),
    Ids(Vec<String>),
    Ledger { step: String, state: &'static str },
}

/// A query that the checker can evaluate by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scope {
    pub(crate) types: Vec<&'static str>,
    pub(crate) statuses: Vec<&'static str>,
    pub(crate) version: Option<&'static str>,
    pub(crate) pinned: bool,
    /// Tells the calls of one step from those of another.
    pub(crate) mark: String,
}

impl Scope {
    pub(crate) fn render(&self) -> String {
        let list = |all: &[&str]| {
            let quoted: Vec<String> = all.iter().map(|one| format!("'{one}'")).collect();
            quoted.join(", ")
        };
        let mut parts = Vec::new();
        if !self.types.is_empty() {
            parts.push(format!("WorkflowType IN ({})", list(&self.types)));
        }
        if !self.statuses.is_empty() {
            parts.push(format!("ExecutionStatus IN ({})", list(&self.statuses)));
        }
        if let Some(version) = self.version {
            parts.push(format!(
                "TemporalWorkerDeploymentVersion = 'orders:{version}'"
            ));
        }
        if self.pinned {
            parts.push("TemporalWorkflowVersioningBehavior = 'Pinned'".to_owned());
        }
        parts.push(format!("WorkflowId != 'mark-{}'", self.mark));
        parts.join(" AND ")
    }

    /// Whether it takes only Workflows that run.
    pub(crate) fn is_open(&self) -> bool {
        self.statuses == ["Running"]
    }
}

/// What is done to a Workflow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Treat {
    Move(&'static str),
    Reset {
        to: &'static str,
        signals: bool,
        version: Option<&'static str>,
        again: bool,
    },
    Restart(&'static str),
    Terminate,
    Cancel,
    Signal,
}

impl Treat {
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Move(_) => "workflows.update_options",
            Self::Reset { .. } => "workflows.reset",
            Self::Restart(_) => "workflows.restart",
            Self::Terminate => "workflows.terminate",
            Self::Cancel => "workflows.cancel",
            Self::Signal => "workflows.signal",
        }
    }

    fn with(&self) -> String {
        match self {
            Self::Move(version) => format!("version: \"orders:{version}\""),
            Self::Reset {
                to,
                signals,
                version,
                again,
            } => {
                let mut text = format!(
                    "to: {to}, reapply: {}, reason: OPS-1",
                    if *signals { "all" } else { "none" }
                );
                if let Some(version) = version {
                    let _ = write!(text, ", version: \"orders:{version}\"");
                }
                if *again {
                    text.push_str(", if_reset: again");
                }
                text
            }
            Self::Restart(version) => format!("version: \"orders:{version}\", reason: OPS-1"),
            Self::Terminate | Self::Cancel => "reason: OPS-1".to_owned(),
            Self::Signal => "name: go, input: 7".to_owned(),
        }
    }
}

impl Book {
    pub(crate) fn steps(&self) -> Vec<&Step> {
        let mut all = Vec::new();
        for stage in &self.stages {
            match stage {
                Stage::Step(step) => all.push(step),
                Stage::Loop { steps, .. } => all.extend(steps),
            }
        }
        all
    }

    pub(crate) fn step(&self, id: &str) -> Option<&Step> {
        self.steps().into_iter().find(|step| step.id == id)
    }

    pub(crate) fn each_step(&mut self, mut change: impl FnMut(&mut Step)) {
        for stage in &mut self.stages {
            match stage {
                Stage::Step(step) => change(step),
                Stage::Loop { steps, .. } => steps.iter_mut().for_each(&mut change),
            }
        }
    }

    /// As a file.
    pub(crate) fn render(&self) -> String {
        let mut strategies = String::new();
        let mut decisions = String::new();
        let mut steps = String::new();
        for step in self.steps() {
            if let Does::Decide(table) = &step.does {
                table.render(&step.id, &mut strategies, &mut decisions);
            }
        }
        for stage in &self.stages {
            match stage {
                Stage::Step(step) => step.render("  ", &mut steps),
                Stage::Loop {
                    id,
                    until,
                    steps: nested,
                } => {
                    let _ = write!(
                        steps,
                        "  - id: {id}\n    repeat:\n      until: ${{{{ steps.{id}_left.count == 0 }}}}\n      every: 30s\n      timeout: 3m\n      steps:\n"
                    );
                    for step in nested {
                        step.render("        ", &mut steps);
                    }
                    let _ = write!(
                        steps,
                        "        - id: {id}_left\n          action: workflows.count\n          with: {{ query: \"{}\" }}\n",
                        until.render()
                    );
                }
            }
        }
        let mut text = "schema: runbook/v1\nname: simulated\n".to_owned();
        if !decisions.is_empty() {
            let _ = write!(text, "strategies:\n{strategies}decisions:\n{decisions}");
        }
        let _ = write!(text, "steps:\n{steps}");
        text
    }
}

impl Table {
    fn render(&self, id: &str, strategies: &mut String, decisions: &mut String) {
        let mut rows = String::new();
        for row in &self.rows {
            let name = row.id.clone();
            let fallback = row.fallback.as_ref().map(|other| {
                let _ = writeln!(
                    strategies,
                    "  {name}_else: {{ action: {}, with: {{ {} }} }}",
                    other.action(),
                    other.with()
                );
                let names = match row.treat {
                    Treat::Reset { .. } => {
                        "running_child, no_completed_task, never_dispatched, reset_before"
                    }
                    _ => "child_of_running_parent",
                };
                let all: Vec<String> = names
                    .split(", ")
                    .map(|refusal| format!("{refusal}: {name}_else"))
                    .collect();
                format!(", fallback: {{ {} }}", all.join(", "))
            });
            let _ = writeln!(
                strategies,
                "  {name}: {{ action: {}, with: {{ {} }}{} }}",
                row.treat.action(),
                row.treat.with(),
                fallback.unwrap_or_default()
            );
            let types: Vec<String> = row.types.iter().map(|one| format!("'{one}'")).collect();
            let mut condition = format!("where: \"WorkflowType IN ({})\", ", types.join(", "));
            if let Some(task) = row.task {
                let _ = write!(condition, "task: {task}, ");
            }
            let _ = writeln!(
                rows,
                "      - {{ id: {}, {condition}apply: {name} }}",
                row.id
            );
        }
        let _ = write!(
            decisions,
            "  {id}_table:\n    scope: \"{}\"\n    hit_policy: first\n    unmatched: {}\n    rows:\n{rows}",
            self.scope.render(),
            self.unmatched
        );
    }
}

impl Step {
    fn render(&self, indent: &str, into: &mut String) {
        let (action, with) = match &self.does {
            Does::Decide(table) => {
                let lost = table
                    .also_lost_by
                    .as_ref()
                    .map(|step| format!(", also_lost_by: [{step}]"));
                (
                    "decision.apply",
                    format!("decision: {}_table{}", self.id, lost.unwrap_or_default()),
                )
            }
            Does::Take { from, treat, batch } => {
                let from = match from {
                    Source::Query(scope) => format!("query: \"{}\"", scope.render()),
                    Source::Ids(ids) => {
                        let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
                        format!("ids: [{}]", ids.join(", "))
                    }
                    Source::Ledger { step, state } => {
                        format!("ledger: {{ steps: [{step}], states: [{state}] }}")
                    }
                };
                let batch = if *batch { ", via: batch" } else { "" };
                (
                    treat.action(),
                    format!("select: {{ {from} }}, {}{batch}", treat.with()),
                )
            }
            Does::Verify { of } => (
                "workflows.verify",
                format!("ledger: [{}], wait: 30s", of.join(", ")),
            ),
            Does::StopRollout => (
                "deployment.stop_rollout",
                "version: \"orders:bad\", revert_to: \"orders:good\"".to_owned(),
            ),
            Does::SetCurrent(version) => (
                "deployment.set_current",
                format!("version: \"orders:{version}\""),
            ),
            Does::Drainage => ("deployment.drainage", "version: \"orders:bad\"".to_owned()),
            Does::Pause(seconds) => ("wait", format!("for: {seconds}s")),
        };
        let _ = write!(
            into,
            "{indent}- id: {}\n{indent}  action: {action}\n{indent}  with: {{ {with} }}\n",
            self.id
        );
        if let Some(count) = self.canary {
            let _ = writeln!(into, "{indent}  canary: {{ count: {count}, wait: 2m }}");
        }
        let mut limits = Vec::new();
        limits.extend(
            self.max_failures
                .map(|most| format!("max_failures: {most}")),
        );
        limits.extend(
            self.max_workflows
                .map(|most| format!("max_workflows: {most}")),
        );
        if !limits.is_empty() {
            let _ = writeln!(into, "{indent}  limits: {{ {} }}", limits.join(", "));
        }
        if self.go_on {
            let _ = writeln!(into, "{indent}  on_failure: continue");
        }
        if let Some((by, not_starter)) = self.agreement {
            let not = if not_starter { ", not: starter" } else { "" };
            let _ = writeln!(into, "{indent}  confirm: {{ by: {by}{not} }}");
        }
    }
}
