//! The page as HTML: one file, or the fragments of the live one.
//!
//! Written by hand, no build step: `page.html` is the frame, `body.html` the sections, `page.css` and `page.js` go into
//! the file as they are. All text is escaped by the template and made harmless before; the ledger lies
//! beside it as data. The policy in the head allows this script and this style, by their digests, and nothing from
//! anywhere: a name that was taken for markup after all could load and run nothing.

use std::io::{self, Write};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, Value, context};
use sha2::{Digest as _, Sha256};

use super::{Dossier, ledger};
use crate::report::format::{clip, harmless};
use crate::report::model::Ending;
use crate::report::summary::Located;
pub(super) use asked::{approvals, who};
pub(super) use view::OUTCOMES;
use view::View;

mod asked;
mod chart;
mod timeline;
mod view;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A text that is longer is cut, and says so. Commands are shorter.
const LONGEST: usize = 20_000;
/// So many rows of the ledger are printed, and shown where no script runs.
const PRINTED: usize = 200;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    let sources = [
        ("page.html", include_str!("page.html")),
        ("body.html", include_str!("body.html")),
        ("runs.html", include_str!("runs.html")),
    ];
    for (name, source) in sources {
        if let Err(error) = templates.add_template(name, source) {
            unreachable!("a template of this program: {error:#}");
        }
    }
    templates
});

/// What stands around the sections.
#[derive(Clone, Copy, Debug)]
pub struct Shell<'a> {
    /// Of the window.
    pub title: &'a str,
    /// Where the live page asks for news; none in a file.
    pub live: Option<&'a str>,
}

/// The policy of a page, for its head and, where it is served, for the response's.
pub fn policy(live: bool) -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let connect = if live { " connect-src 'self';" } else { "" };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:;{connect} base-uri 'none'; form-action 'none'",
        digest(SCRIPT),
        digest(STYLE),
    )
}

/// A page around a fragment that is HTML already.
pub fn shell(shell: Shell<'_>, body: &str) -> String {
    let (head, tail) = halves(shell, body);
    head + &tail
}

/// The page up to where the ledger's data stands, and from there on.
fn halves(shell: Shell<'_>, body: &str) -> (String, String) {
    const DATA: &str = "<!--ledger-->";
    let page = render(
        "page.html",
        context! {
            title => harmless(shell.title),
            live => shell.live,
            policy => policy(shell.live.is_some()),
            style => Value::from_safe_string(STYLE.to_owned()),
            script => Value::from_safe_string(SCRIPT.to_owned()),
            body => Value::from_safe_string(body.to_owned()),
        },
    );
    // From the end: a text of the body is escaped and cannot hold it.
    match page.rsplit_once(DATA) {
        Some((head, tail)) => (head.to_owned(), tail.to_owned()),
        None => (page, String::new()),
    }
}

fn as_value(data: serde_json::Value) -> Value {
    Value::from(minijinja::value::Serde(data))
}

fn render(template: &str, context: Value) -> String {
    let rendered = TEMPLATES
        .get_template(template)
        .and_then(|template| template.render(context));
    rendered.unwrap_or_else(|error| unreachable!("a template of this program: {error:#}"))
}

/// The list of runs, as a fragment. `runs` has `href`, `id`, `state`, `tone`, `runbook`, `namespace`, `opened`, `last`
/// and `why`.
pub fn runs_fragment(runs: &serde_json::Value, folder: &str) -> String {
    let runs = shown(runs.clone());
    render(
        "runs.html",
        context! { runs => as_value(runs), folder => harmless(folder) },
    )
}

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use<'a> {
    /// A file.
    File,
    /// Served, to look at.
    Watch,
    /// Served, and an open question can be answered on it, by this person.
    Answer(&'a str),
}

/// The sections.
pub(super) fn fragment(dossier: &Dossier, located: &Located, purpose: Use<'_>) -> String {
    let page = dossier.page(located);
    let mut view = View::of(&page);
    view.live = purpose != Use::File;
    if let Use::Answer(who) = purpose {
        view.open = open(dossier);
        view.answers_as = who.to_owned();
        view.target.clone_from(&located.target);
    }
    let rows = (0..PRINTED).filter_map(|index| dossier.workflows.at(index));
    view.ledger = rows
        .map(|row| {
            [
                row.workflow_id.to_owned(),
                row.step.to_owned(),
                row.row.to_owned(),
                ledger::outcome(&row).to_owned(),
                row.health
                    .map_or("", super::super::summary::health_word)
                    .to_owned(),
                row.new_run_id.clone().unwrap_or_default(),
                ledger::why(&row),
            ]
        })
        .collect();
    let view = serde_json::to_value(&view).unwrap_or_default();
    render("body.html", context! { page => as_value(shown(view)) })
}

/// The question that the run still asks. One of before was asked again, or is not asked any more.
fn open(dossier: &Dossier) -> Vec<u32> {
    let waits = matches!(
        dossier.report.ending,
        Ending::Open | Ending::Parked { .. } | Ending::Interrupted { .. }
    );
    let last = dossier.report.questions.last();
    let open = last.filter(|question| waits && question.answer.is_none());
    open.map(|question| question.question).into_iter().collect()
}

/// Every text in it made harmless, and a very long one cut.
fn shown(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => Json::String(harmless(&clip(&text, LONGEST)).into_owned()),
        Json::Array(items) => Json::Array(items.into_iter().map(shown).collect()),
        Json::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, shown(value)))
            .collect(),
        other => other,
    }
}

/// The whole file.
pub(super) fn write_file(
    dossier: &Dossier,
    located: &Located,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let run = &dossier.report.run;
    let title = format!("{} {}", run.id, run.runbook);
    let frame = Shell {
        title: &title,
        live: None,
    };
    let (head, tail) = halves(frame, &fragment(dossier, located, Use::File));
    out.write_all(head.as_bytes())?;
    out.write_all(b"<script type=\"application/json\" id=\"ledger-data\">")?;
    ledger::write(dossier, 0, &mut Inside(&mut out))?;
    out.write_all(b"</script>")?;
    out.write_all(tail.as_bytes())?;
    out.flush()
}

/// JSON inside a `script` element: `<` stands only in texts, and could end the element.
struct Inside<'a>(&'a mut dyn Write);

impl Write for Inside<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (index, part) in bytes.split(|byte| *byte == b'<').enumerate() {
            if index > 0 {
                self.0.write_all(b"\\u003c")?;
            }
            self.0.write_all(part)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
