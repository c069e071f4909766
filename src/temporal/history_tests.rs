//! Histories, judged.
