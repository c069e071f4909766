//! Variables and queries: what they read through each other, and those that read themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::secrets::Holder;
use super::{At, Checker, Item, LONGEST_CHAIN, Uses};
use crate::diagnostic::Kind;
use crate::document::Key;

impl<'a> Checker<'a> {
    /// Variables and queries: what they hold, and what they use.
    pub(super) fn items(&mut self) {
        for (name, (_, node)) in &self.names.vars {
            let mut reads = Vec::new();
            self.holder = Holder::Variable;
            self.value(node, At::Anywhere, &mut reads);
            self.holder = Holder::Shown;
            self.uses.insert(Item::Variable(name), Uses { reads });
        }
        for (name, (_, node)) in &self.names.queries {
            let mut reads = Vec::new();
            self.query(node, At::BeforeRun, &mut reads);
            self.uses.insert(Item::Query(name), Uses { reads });
        }
    }

    /// Steps that a variable or query reads, through others too.
    pub(super) fn reached(&self, item: Item<'a>) -> BTreeSet<String> {
        let mut steps = BTreeSet::new();
        let mut seen = BTreeSet::from([item]);
        let mut open = vec![item];
        while let Some(item) = open.pop() {
            for path in self
                .uses
                .get(&item)
                .map(|uses| uses.reads.as_slice())
                .unwrap_or_default()
            {
                if let [root, step, ..] = path.as_slice()
                    && root == "steps"
                {
                    steps.insert(step.clone());
                }
                open.extend(self.item(path).filter(|next| seen.insert(*next)));
            }
        }
        steps
    }

    pub(super) fn item(&self, path: &[String]) -> Option<Item<'a>> {
        let [root, name, ..] = path else { return None };
        match root.as_str() {
            "vars" => self
                .names
                .vars
                .get_key_value(name.as_str())
                .map(|(name, _)| Item::Variable(name)),
            "queries" => self
                .names
                .queries
                .get_key_value(name.as_str())
                .map(|(name, _)| Item::Query(name)),
            _ => None,
        }
    }

    pub(super) fn cycles(&mut self) {
        let next: BTreeMap<Item<'a>, BTreeSet<Item<'a>>> = self
            .uses
            .iter()
            .map(|(item, uses)| {
                (
                    *item,
                    uses.reads
                        .iter()
                        .filter_map(|path| self.item(path))
                        .collect(),
                )
            })
            .collect();
        let mut depth: BTreeMap<Item<'a>, usize> = BTreeMap::new();
        let mut rest: BTreeSet<Item<'a>> = next.keys().copied().collect();
        loop {
            let ready: Vec<_> = rest
                .iter()
                .copied()
                .filter(|item| next[item].iter().all(|used| depth.contains_key(used)))
                .collect();
            if ready.is_empty() {
                break;
            }
            for item in ready {
                let below = next[&item]
                    .iter()
                    .map(|used| depth[used])
                    .max()
                    .unwrap_or(0);
                depth.insert(item, below + 1);
                rest.remove(&item);
                if below == LONGEST_CHAIN {
                    let message =
                        format!("a chain of more than {LONGEST_CHAIN} variables and queries");
                    let key = self.key(item);
                    self.problems
                        .push(self.names.document.at_key(key, Kind::Name, message));
                }
            }
        }
        while let Some(start) = rest
            .iter()
            .copied()
            .min_by_key(|item| self.key(*item).range.start)
        {
            self.cycle(start, &next, &mut rest);
        }
    }

    /// Reports the cycle that is met from `start`, and forgets all that leads there.
    pub(super) fn cycle(
        &mut self,
        start: Item<'a>,
        next: &BTreeMap<Item<'a>, BTreeSet<Item<'a>>>,
        rest: &mut BTreeSet<Item<'a>>,
    ) {
        let mut path = vec![start];
        let mut here = start;
        let repeated = loop {
            let Some(used) = next[&here].iter().copied().find(|used| rest.contains(used)) else {
                break None;
            };
            if let Some(at) = path.iter().position(|item| *item == used) {
                break Some(at);
            }
            path.push(used);
            here = used;
        };
        if let Some(at) = repeated {
            let ring = &path[at..];
            let names: Vec<_> = ring
                .iter()
                .chain(&ring[..1])
                .map(|item| item_name(*item))
                .collect();
            let key = self.key(ring[0]);
            let diagnostic = self.names.document.at_key(
                key,
                Kind::Name,
                format!("`{}` uses itself", item_name(ring[0])),
            );
            self.problems.push(diagnostic.note(names.join(" → ")));
        }
        path.iter().for_each(|item| _ = rest.remove(item));
    }

    pub(super) fn key(&self, item: Item<'a>) -> &'a Key {
        match item {
            Item::Variable(name) => self.names.vars[name].0,
            Item::Query(name) => self.names.queries[name].0,
        }
    }
}

pub(super) fn item_name(item: Item<'_>) -> String {
    match item {
        Item::Variable(name) => format!("vars.{name}"),
        Item::Query(name) => format!("queries.{name}"),
    }
}
