//! How much a log says: the levels of `tracing`, by their names.

use tracing::level_filters::LevelFilter;

/// All of them, from silence on.
const ALL: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

/// Reads a level; numbers, which `tracing` itself reads, are refused as they say nothing to a reader.
pub(super) fn read(text: &str) -> Result<LevelFilter, String> {
    let found = ALL.into_iter().find(|level| level.to_string() == text);
    found.ok_or_else(|| format!("not a level; there are {}", names()))
}

/// Their names, from silence on.
pub(super) fn names() -> String {
    ALL.map(|level| level.to_string()).join(", ")
}
