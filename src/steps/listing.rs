//! What a step's Workflows are read from, and claims: pages of a query, names given in the runbook or by earlier
//! steps, a file of names, or a sample.
//!
//! Pure. Names are looked up before they are claimed, so that a claim says which run is meant; a name under
//! which there is nothing is claimed too, and ends as skipped. A file is taken in piece by piece, and how far is
//! written down with the claims.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Effect, ListedPage, Machine, Next, Problem};
use crate::catalog::Named;
use crate::decision::Table;
use crate::ledger::{Life, Part};
use crate::plan::add_leftover;
use crate::record::{Body, Health, Leftover, Ordinal, Outcome, Place, Treatment};
use crate::selection::reader::Cursor;
use crate::selection::{FileSeen, Source};
use crate::survey::{Listed, WorkflowKey};

/// Passes of the listing in one call of the step.
pub(super) const PASSES: u32 = 3;
/// A page is listed ahead while fewer than so many claims wait.
const AHEAD: usize = 2_000;
/// Names that are looked up in one effect.
const NAMES: usize = 200;

/// The listing in progress.
#[derive(Clone, Debug)]
pub struct Listing {
    /// For which step.
    pub place: Place,
    /// Pass, from 1.
    pub pass: u32,
    /// Token of the next page.
    pub token: Option<Vec<u8>>,
    /// Names that were not looked up yet.
    pub names: VecDeque<Named>,
    /// Where the file of names goes on.
    pub file: Option<Cursor>,
    /// How far it was read, once `names` were looked up.
    pub read: Option<Cursor>,
    /// Nothing more to read.
    pub exhausted: bool,
    /// What no row takes.
    pub unmatched: BTreeMap<String, Leftover>,
    /// When the latest of the listed Workflows started, by the service.
    pub latest: Option<Timestamp>,
}

/// A row to claim: which, its type, and whether it was named without a run.
type Row = (WorkflowKey, String, bool);

/// Rows to claim, each Workflow once.
#[derive(Default)]
struct Rows {
    claims: Vec<Row>,
    known: BTreeSet<WorkflowKey>,
}

impl Rows {
    fn holds(&self, key: &WorkflowKey) -> bool {
        self.known.contains(key)
    }

    fn push(&mut self, key: WorkflowKey, workflow_type: String, latest: bool) {
        self.known.insert(key.clone());
        self.claims.push((key, workflow_type, latest));
    }
}

impl Machine {
    pub(super) fn begin_listing(&mut self, place: &Place, table: &Table) {
        let id = &place.step;
        let state = self.state.step(id);
        let pass = state.passes + 1;
        let (mut names, mut file) = (VecDeque::new(), None);
        match &table.selection.source {
            Source::Query | Source::Ledger(_) => {}
            // Names need no second look-up, unless another run took the place of the one that was claimed.
            _ if pass > 1 => names.extend(self.state.ledger.superseded(id)),
            Source::Ids(ids) => {
                names.extend(ids.iter().filter(|name| !self.holds(id, name)).cloned())
            }
            Source::File(_) => file = Some(state.cursor.unwrap_or_default()),
        }
        let sampled = table.selection.sample.is_some()
            && self
                .state
                .ledger
                .part(id)
                .is_some_and(|part| part.listed > 0);
        let named = table.selection.is_named();
        self.memory.listing = Some(Listing {
            place: place.clone(),
            pass,
            token: None,
            exhausted: sampled || (named && names.is_empty() && file.is_none()),
            names,
            file,
            read: None,
            unmatched: BTreeMap::new(),
            latest: None,
        });
        // What is released as still running need not be claimed again in the same call.
        let lost = if pass == 1 {
            self.lost_candidates(&place.step)
        } else {
            Vec::new()
        };
        for chunk in lost.chunks(1_000) {
            self.claim(place, pass, chunk.to_vec());
        }
    }

    fn holds(&self, id: &str, name: &Named) -> bool {
        self.state.ledger.holds_name(id, name)
    }

    /// What earlier steps moved and nothing has proved healthy: it may have closed before a task ran on the target.
    pub(super) fn lost_candidates(&self, id: &str) -> Vec<(WorkflowKey, String)> {
        let ledger = &self.state.ledger;
        let (mut found, mut known) = (Vec::new(), BTreeSet::new());
        for other in self.also_lost_by(id) {
            let Some(part) = ledger.part(&other) else {
                continue;
            };
            for &ordinal in &part.done {
                let entry = ledger.entry(ordinal);
                let key = entry.current();
                let moved = entry.treatment == Some(Treatment::Moved)
                    && entry.health != Some(Health::Healthy);
                if moved && !ledger.holds(id, &key) && known.insert(key.clone()) {
                    found.push((key, entry.workflow_type.to_string()));
                }
            }
        }
        found
    }

    /// Whether it is one of those that the steps `also_lost_by` moved.
    pub(super) fn is_lost_candidate(&self, also_lost_by: &[String], key: &WorkflowKey) -> bool {
        also_lost_by.iter().any(|other| {
            self.state.ledger.number(other, key).is_some_and(|ordinal| {
                let entry = self.state.ledger.entry(ordinal);
                entry.life == Life::Done && entry.treatment == Some(Treatment::Moved)
            })
        })
    }

    pub(super) fn advance_listing(
        &mut self,
        place: &Place,
        table: &Arc<Table>,
        effects: &mut Vec<Effect>,
    ) {
        let id = &place.step;
        if self
            .memory
            .listing
            .as_ref()
            .is_none_or(|listing| listing.place != *place)
        {
            if self.state.step(id).passes >= PASSES {
                return;
            }
            self.begin_listing(place, table);
        }
        let due = self
            .memory
            .tries
            .get(place)
            .is_none_or(|(_, due)| *due <= self.now);
        if !due || self.memory.calling.contains(id) || self.is_far_ahead(id, table) {
            return;
        }
        if let Some(next) = self.next_listing(id, table) {
            self.memory.calling.insert(id.clone());
            effects.push(Effect::List {
                place: place.clone(),
                table: table.clone(),
                next,
                frozen: self.frozen(id),
            });
        }
    }

    /// Whether enough claims wait, or the selection takes no more.
    fn is_far_ahead(&self, id: &str, table: &Table) -> bool {
        let waiting = self
            .state
            .ledger
            .part(id)
            .map_or(0, |part| part.queue.len());
        if self.is_batch(id) {
            // A job gets them all at once.
            return false;
        }
        // A dry run lists a query to its end, to count it; names are counted without looking each up.
        let enough = waiting >= AHEAD && (!self.dry || table.selection.is_named());
        enough || self.room(id, table) == 0
    }

    /// What is read next; none where nothing is left.
    fn next_listing(&mut self, id: &str, table: &Table) -> Option<Next> {
        let never = table.scope.fold().constant() == Some(false);
        let most = usize::try_from(self.room(id, table)).unwrap_or(usize::MAX);
        let listing = self.memory.listing.as_mut()?;
        if listing.exhausted || never {
            listing.exhausted = true;
            return None;
        }
        if table.selection.sample.is_some() {
            return Some(Next::Draw);
        }
        if !table.selection.is_named() {
            return Some(Next::Page(listing.token.clone()));
        }
        if !listing.names.is_empty() {
            let names = listing.names.iter().take(NAMES.min(most));
            return Some(Next::Names(names.cloned().collect()));
        }
        listing.file.map(Next::File)
    }

    pub(super) fn listed(&mut self, place: &Place, result: Result<ListedPage, Problem>) {
        self.memory.calling.remove(&place.step);
        let page = match result {
            Ok(page) => page,
            Err(problem) if !self.is_idle() && self.gives_up(place, &problem) => {
                // What is in flight ends first.
                self.memory.halt.get_or_insert(problem.message);
                return;
            }
            Err(problem) => {
                self.try_again(place, &problem);
                return;
            }
        };
        self.memory.tries.remove(place);
        let Ok(table) = self.table(&place.step) else {
            return;
        };
        if let Some(listing) = &mut self.memory.listing {
            let started = page.rows.iter().filter_map(|listed| listed.start_time);
            listing.latest = listing.latest.max(started.max());
        }
        let mut rows = Rows::default();
        for listed in &page.rows {
            self.sort_listed(place, &table, listed, false, &mut rows);
        }
        for (name, found) in &page.named {
            match found {
                Some(listed) => {
                    self.sort_listed(place, &table, listed, name.run.is_none(), &mut rows);
                }
                None => self.claim_missing(place, name, &mut rows),
            }
        }
        let room = usize::try_from(self.room(&place.step, &table)).unwrap_or(usize::MAX);
        let mut rows = rows.claims;
        let full = rows.len() > room;
        rows.truncate(room);
        let cursor = self.turn_page(place, &table, page, full);
        let pass = self
            .memory
            .listing
            .as_ref()
            .map_or(1, |listing| listing.pass);
        self.claim_up_to(place, pass, rows, cursor);
    }

    /// Moves the listing on; how far a file was taken in, where all names that were read of it were looked up.
    fn turn_page(
        &mut self,
        place: &Place,
        table: &Table,
        page: ListedPage,
        full: bool,
    ) -> Option<Cursor> {
        let new: Vec<Named> = page
            .names
            .into_iter()
            .filter(|name| !self.holds(&place.step, name))
            .collect();
        let listing = self.memory.listing.as_mut()?;
        if !table.selection.is_named() || table.selection.sample.is_some() {
            listing.exhausted = page.next.is_none() || full;
            listing.token = page.next;
            return None;
        }
        let looked_up = page.named.len();
        let reads = looked_up == 0 && listing.names.is_empty();
        if reads {
            listing.file = page.cursor;
            listing.read = page.read;
            listing.names.extend(new);
        } else {
            let done = page.asked.min(listing.names.len());
            listing.names.drain(..done);
        }
        if !listing.names.is_empty() {
            return None;
        }
        listing.exhausted = listing.file.is_none();
        listing.read.take()
    }

    fn sort_listed(
        &mut self,
        place: &Place,
        table: &Table,
        listed: &Listed,
        latest: bool,
        claims: &mut Rows,
    ) {
        // A decision judges a run that it made like any other; a selection has done what it was told.
        let own = table.name == place.step
            && (self.state.ledger.made(&place.step, &listed.key)
                || self.state.ledger.is_written(&place.step, &listed.key));
        if own || self.state.ledger.holds(&place.step, &listed.key) || claims.holds(&listed.key) {
            return;
        }
        if !table.candidates(listed).is_empty() {
            claims.push(listed.key.clone(), listed.workflow_type.clone(), latest);
        } else if let Some(listing) = &mut self.memory.listing {
            add_leftover(&mut listing.unmatched, listed);
        }
    }

    fn claim_missing(&self, place: &Place, name: &Named, claims: &mut Rows) {
        let key = WorkflowKey {
            workflow_id: name.id.clone(),
            run_id: name.run.clone().unwrap_or_default(),
        };
        if !claims.holds(&key) && !self.state.ledger.holds(&place.step, &key) {
            claims.push(key, String::new(), false);
        }
    }

    /// Files as they were when somebody was first asked about the step.
    pub(super) fn frozen(&self, id: &str) -> Vec<FileSeen> {
        let selected = self.state.step(id).selected.as_ref();
        selected
            .map(|found| found.files.clone())
            .unwrap_or_default()
    }

    /// How many more the selection takes.
    fn room(&self, id: &str, table: &Table) -> u64 {
        let held = self.state.ledger.part(id).map_or(0, Part::held);
        table
            .selection
            .limit
            .map_or(u64::MAX, |limit| limit.saturating_sub(held))
    }

    /// Whether the step's Workflows were given by name.
    pub(super) fn is_named(&self, id: &str) -> bool {
        let table = self.memory.tables.get(id);
        table.is_some_and(|table| table.selection.is_named())
    }

    /// There is nothing under a name: said, and not looked for again.
    pub(super) fn not_found(&mut self, ordinal: Ordinal) {
        self.memory.again.remove(&ordinal);
        self.emit(Body::Outcome {
            ordinal,
            row: String::new(),
            outcome: Outcome::Skipped {
                reason: "not found".to_owned(),
            },
        });
    }
}
