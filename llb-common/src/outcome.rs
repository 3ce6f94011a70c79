//! What became of a connection at each stage. Every new connection is counted once in the stage [`Stage::Select`],
//! and every migrated one once in the stage [`Stage::Migrate`], so the counts of a stage add up to what entered it.

/// One way that a stage can end; the number is the index into the map `COUNTERS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Outcome {
    /// The policy's first choice got it: for `least-latency` and `argmin` the published least-latency seat.
    First = 0,
    /// The first choice was passed over for a seat that was expected to answer sooner.
    PassedOver = 1,
    /// The policy is `hash`: the kernel chose, as asked.
    Hash = 2,
    /// Fallback to the kernel's hash: the listener that the connection came to is not (yet) one of llb's.
    FallbackUnknownListener = 3,
    /// Fallback: the group has no seats.
    FallbackNoSeat = 4,
    /// Fallback: the chosen seat's socket could not be selected; its listener has just closed.
    FallbackSelectFailed = 5,
    /// Fallback: a map lookup that cannot fail did.
    FallbackMap = 6,
    /// A waiting connection whose listener closed went to a seat that the policy chose.
    Migrated = 7,
    /// A waiting connection whose listener closed was left to the kernel's hash.
    MigratedByHash = 8,
    /// Nobody was free: it waits in line.
    Waits = 9,
    /// It waited in line, and went to the worker that became free.
    HandedOver = 10,
    /// Its client is known, and it went to that one's slot.
    Sticky = 11,
}

/// Where in the life of a connection something is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A new connection's listener is chosen.
    Select,
    /// A waiting connection loses its listener.
    Migrate,
}

impl Outcome {
    /// All of them, by number.
    pub const ALL: [Outcome; 12] = [
        Outcome::First,
        Outcome::PassedOver,
        Outcome::Hash,
        Outcome::FallbackUnknownListener,
        Outcome::FallbackNoSeat,
        Outcome::FallbackSelectFailed,
        Outcome::FallbackMap,
        Outcome::Migrated,
        Outcome::MigratedByHash,
        Outcome::Waits,
        Outcome::HandedOver,
        Outcome::Sticky,
    ];

    /// How many there are: the size of the map `COUNTERS`.
    pub const COUNT: usize = Self::ALL.len();

    /// Index into the map `COUNTERS`.
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The stage that it belongs to.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Outcome::Migrated | Outcome::MigratedByHash | Outcome::HandedOver => Stage::Migrate,
            Outcome::First
            | Outcome::PassedOver
            | Outcome::Hash
            | Outcome::FallbackUnknownListener
            | Outcome::FallbackNoSeat
            | Outcome::FallbackSelectFailed
            | Outcome::FallbackMap
            | Outcome::Waits
            | Outcome::Sticky => Stage::Select,
        }
    }

    /// Whether a policy's choice was carried out, as opposed to the kernel's hash.
    #[must_use]
    pub const fn is_chosen(self) -> bool {
        matches!(self, Outcome::First | Outcome::PassedOver | Outcome::Migrated | Outcome::HandedOver | Outcome::Sticky)
    }

    /// The name in `llb status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::First => "first",
            Outcome::PassedOver => "passed_over",
            Outcome::Hash => "hash",
            Outcome::FallbackUnknownListener => "fallback_unknown_listener",
            Outcome::FallbackNoSeat => "fallback_no_seat",
            Outcome::FallbackSelectFailed => "fallback_select_failed",
            Outcome::FallbackMap => "fallback_map",
            Outcome::Migrated => "migrated",
            Outcome::MigratedByHash => "migrated_by_hash",
            Outcome::Waits => "waits",
            Outcome::HandedOver => "handed_over",
            Outcome::Sticky => "sticky",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_indices() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index() as usize, index);
        }
    }
}
