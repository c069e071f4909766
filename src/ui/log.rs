//! The log, for whoever wants to see each call: off unless it is asked for, on stderr, above the live
//! lines.
//!
//! Only this tool's own events: those of the libraries below could hold headers.

use std::fmt;
use std::io;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::Ui;

/// Begins the log; a second one in a process changes nothing.
pub fn start(ui: &Ui, level: LevelFilter, json: bool) {
    if level == LevelFilter::OFF {
        return;
    }
    let own = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = if json {
        Box::new(JsonLines(ui.clone()))
    } else {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(Lines(ui.clone()))
            .with_ansi(ui.err_style().colour);
        Box::new(lines)
    };
    // Where a log is running already (tests in one process), that one stays.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(own))
        .try_init();
}

/// Each event is one line.
struct Lines(Ui);

struct Line(Ui);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.0.clone())
    }
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.say(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each event is an object on a line: `time`, `level`, `target`, `message` and its own fields.
struct JsonLines(Ui);

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let about = event.metadata();
        let mut fields = Fields(Map::new());
        let own = [
            ("time", Timestamp::now().to_string()),
            ("level", about.level().to_string()),
            ("target", about.target().to_owned()),
        ];
        for (name, text) in own {
            fields.0.insert(name.to_owned(), text.into());
        }
        event.record(&mut fields);
        self.0.say(&format!("{}\n", Value::from(fields.0)));
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Style;

    #[test]
    fn an_event_is_an_object_on_a_line() {
        let (ui, captured) = Ui::captured(Style::PLAIN);
        let subscriber = tracing_subscriber::registry().with(JsonLines(ui));
        tracing::subscriber::with_default(subscriber, || {
            let (rpc, code) = ("Reset\n\u{1b}", Some(3));
            tracing::debug!(rpc, milliseconds = 5_u64, ?code, "not answered");
        });
        let text = captured.err();
        let mut line: Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let time = line["time"].take();
        time.as_str()
            .expect("a time")
            .parse::<Timestamp>()
            .expect("a time");
        assert_eq!(
            line,
            serde_json::json!({
                "time": null, "level": "DEBUG", "target": module_path!(), "message": "not answered",
                "rpc": "Reset\n\u{1b}", "milliseconds": 5, "code": "Some(3)",
            })
        );
    }
}
