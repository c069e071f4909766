//! One conformance suite, two back ends: the same test bodies against the simulator and, where the
//! environment names one (tests/live/test_conformance.py does), against a real Temporal server with real
//! Workers.
//!
//! A body notes what it sees ([`transcript`]); the notes are files in `recorded/`, written by the real
//! server and by nothing else. Both back ends are compared with them, so that a note is a fact about
//! Temporal. Where the simulator differs, [`differences`] says so and why; an entry there that no longer
//! differs fails.

pub mod backend;
mod differences;
mod attributes;
#[allow(deprecated)] // the service still sends, or takes, the deprecated fields too
mod batches;
#[allow(deprecated)] // the service still sends, or takes, the deprecated fields too
mod deployments;
mod interrupts;
mod filter_corpus;
mod filter_differences;
mod filters;
mod overrides;
mod problems;
mod reads;
#[allow(deprecated)] // the service still sends, or takes, the deprecated fields too
mod resets;
#[allow(deprecated)] // the service still sends, or takes, the deprecated fields too
mod starts;
mod transcript;
