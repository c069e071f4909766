//! Where the simulator is known to differ from the server, and why that stays. Read by the suite: a note
//! that is listed here must differ, in exactly this way.

/// A note that the simulator answers otherwise than the server.
pub struct Difference {
    /// Name of the record.
    pub test: &'static str,
    /// Label of the note.
    pub label: &'static str,
    /// What the simulator gives; what the server gives is in the record.
    pub simulator: &'static str,
    /// Why it stays so.
    #[allow(dead_code)] // for the reader
    pub why: &'static str,
}

/// All of them.
pub const DIFFERENCES: &[Difference] = &[];
