//! Build logs: which error came first, and what causes it. Pure: reads text, touches nothing.

/// What a log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {}

impl Diagnosis {
    /// To be shown, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Reads a log.
#[must_use]
pub fn diagnose(_log: &str) -> Diagnosis {
    Diagnosis {}
}
