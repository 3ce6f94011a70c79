//! Why workers are replaced.

use serde::{Deserialize, Serialize};

/// Why a worker came in the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartCause {
    /// The one before has ended, or has not become ready.
    Exited,
    /// The one before has asked for it, has closed its listeners, or has exited with 0 after it had served.
    Left,
    /// The one before hung for too long.
    Hung,
    /// The one before had reached a limit.
    Recycled,
    /// A reload.
    Reloaded,
    /// An operator has asked for it.
    Restarted,
}

impl RestartCause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Exited, Self::Left, Self::Hung, Self::Recycled, Self::Reloaded, Self::Restarted];

    /// The name in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RestartCause::Exited => "exited",
            RestartCause::Left => "left",
            RestartCause::Hung => "hung",
            RestartCause::Recycled => "recycled",
            RestartCause::Reloaded => "reloaded",
            RestartCause::Restarted => "restarted",
        }
    }
}

/// How often each cause has occurred in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartCauses([u32; RestartCause::ALL.len()]);

impl RestartCauses {
    /// It has occurred once more.
    pub fn count(&mut self, cause: RestartCause) {
        let count = &mut self.0[cause as usize];
        *count = count.saturating_add(1);
    }

    /// How often it has.
    pub fn each(&self) -> impl Iterator<Item = (RestartCause, u32)> {
        RestartCause::ALL.into_iter().zip(self.0)
    }
}
