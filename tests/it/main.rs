//! The integration tests, one binary: linking is what a test build costs most.

mod layers;
mod language;
mod filters;
mod service;
mod simulator;
mod engine;
mod rehearsal;
mod command_line;
mod crashes;
mod stage;
mod display;
mod terminal;
