//! The simulator, through Temporal's messages: each test holds a fact that was measured on server 1.32.

mod scenes;

#[allow(deprecated)] // the spelling that the CLI still sends
mod batches;
#[allow(deprecated)] // the service still sends the deprecated fields too
mod deployments;
mod faults;
mod histories;
mod interrupts;
mod moves;
mod resets;
mod scale;
mod starts;
mod visibility;
