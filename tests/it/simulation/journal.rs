//! A journal as an outsider reads it: raw lines and JSON, no type of the tool's own.

use std::collections::BTreeMap;

use serde_json::Value;

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// Where its line ends, in bytes.
    pub(crate) end: usize,
    pub(crate) at: String,
    pub(crate) body: Value,
}

impl Fact {
    pub(crate) fn kind(&self) -> &str {
        text(&self.body, "kind")
    }

    pub(crate) fn ordinal(&self) -> Option<u64> {
        self.body["ordinal"].as_u64()
    }

    pub(crate) fn step(&self) -> &str {
        self.body["place"]["step"].as_str().unwrap_or_default()
    }
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// What a step took.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) step: String,
    pub(crate) id: String,
    pub(crate) run: String,
    pub(crate) end: usize,
}

/// An intent, and what the run said of it afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) ordinal: u64,
    pub(crate) end: usize,
    pub(crate) row: String,
    pub(crate) write: Value,
    /// `done`, `skipped`, `refused`, `failed`, `barred`, `not_done`, `unknown`; empty while it is open or in doubt.
    pub(crate) end_state: String,
    pub(crate) new_run: Option<String>,
    pub(crate) ours: Option<bool>,
    /// Where the record that ended it ends.
    pub(crate) ended: usize,
}

impl Intent {
    pub(crate) fn call(&self) -> &str {
        text(&self.write, "call")
    }
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) facts: Vec<Fact>,
    pub(crate) claims: BTreeMap<u64, Claim>,
    pub(crate) intents: Vec<Intent>,
    /// Last thing said of each claim: `claimed`, `released`, `intended`, `done`, `skipped`, `refused`,
    /// `failed`, `unknown`, `doubt`, `handed`, `would`.
    pub(crate) states: BTreeMap<u64, String>,
}

impl Told {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut told = Self::default();
        let mut end = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            end += line.len();
            let Ok(line) = serde_json::from_slice::<Value>(line) else {
                continue;
            };
            for record in line["records"].as_array().into_iter().flatten() {
                let fact = Fact {
                    end,
                    at: text(record, "at").to_owned(),
                    body: record["body"].clone(),
                };
                told.take(&fact);
                told.facts.push(fact);
            }
        }
        told
    }

    fn take(&mut self, fact: &Fact) {
        let ordinal = fact.ordinal().unwrap_or(u64::MAX);
        match fact.kind() {
            "page" => {
                for claim in fact.body["claims"].as_array().into_iter().flatten() {
                    let number = claim["ordinal"].as_u64().unwrap_or(u64::MAX);
                    self.states.insert(number, "claimed".to_owned());
                    let claim = Claim {
                        step: fact.step().to_owned(),
                        id: text(claim, "id").to_owned(),
                        run: text(claim, "run").to_owned(),
                        end: fact.end,
                    };
                    self.claims.insert(number, claim);
                }
            }
            "released" => self.say(ordinal, "released"),
            "retried" => {
                for ordinal in fact.body["ordinals"].as_array().into_iter().flatten() {
                    self.say(ordinal.as_u64().unwrap_or(u64::MAX), "claimed");
                }
            }
            "intent" => {
                self.say(ordinal, "intended");
                self.intents.push(Intent {
                    ordinal,
                    end: fact.end,
                    row: text(&fact.body, "row").to_owned(),
                    write: fact.body["write"].clone(),
                    end_state: String::new(),
                    new_run: None,
                    ours: None,
                    ended: usize::MAX,
                });
            }
            "outcome" => {
                let outcome = &fact.body["outcome"];
                let is = text(outcome, "is").to_owned();
                let intended = self
                    .states
                    .get(&ordinal)
                    .is_some_and(|now| now == "intended");
                if intended && is == "unknown" {
                    self.say(ordinal, "doubt");
                    return;
                }
                if intended {
                    self.ends(ordinal, &is, outcome, fact.end);
                }
                self.say(ordinal, &is);
            }
            "barred" => {
                self.ends(ordinal, "barred", &Value::Null, fact.end);
                self.say(ordinal, "claimed");
            }
            "settled" => {
                let settlement = &fact.body["settlement"];
                let is = text(settlement, "is").to_owned();
                self.ends(ordinal, &is, settlement, fact.end);
                self.say(ordinal, if is == "not_done" { "claimed" } else { &is });
            }
            "job" => {
                for range in fact.body["job"]["takes"].as_array().into_iter().flatten() {
                    let (first, last) = (range[0].as_u64(), range[1].as_u64());
                    for ordinal in first.unwrap_or(1)..=last.unwrap_or(0) {
                        self.say(ordinal, "handed");
                    }
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, ordinal: u64, state: &str) {
        self.states.insert(ordinal, state.to_owned());
    }

    fn ends(&mut self, ordinal: u64, is: &str, said: &Value, end: usize) {
        let mut intents = self.intents.iter_mut().rev();
        if let Some(intent) = intents.find(|intent| intent.ordinal == ordinal) {
            intent.end_state = is.to_owned();
            intent.new_run = said["new_run"].as_str().map(str::to_owned);
            intent.ours = said["ours"].as_bool();
            intent.ended = end;
        }
    }

    pub(crate) fn claim(&self, intent: &Intent) -> &Claim {
        &self.claims[&intent.ordinal]
    }
}
