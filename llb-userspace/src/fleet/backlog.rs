//! Whether a UDP worker reads what it is sent. Nobody answers for it in a protocol that has no answers; its socket's queue shows it.

/// Looks in a row at which the queue has not become shorter that make a worker one that stands still.
const LOOKS: u32 = 2;

/// What was seen of a socket's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    queued: u64,
    looks: u32,
}

impl Backlog {
    /// Another look: bytes that wait to be read.
    pub(crate) fn step(&mut self, queued: u64) {
        self.looks = if queued > 0 && queued >= self.queued { self.looks + 1 } else { 0 };
        self.queued = queued;
    }

    /// Whether nothing seems to be read. A worker that reads, and is sent more than it can read, should get no more either.
    pub(crate) fn stands_still(&self) -> bool {
        self.looks > LOOKS
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.queued == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(looks: &[u64]) -> Backlog {
        let mut backlog = Backlog::default();
        looks.iter().for_each(|queued| backlog.step(*queued));
        backlog
    }

    #[test]
    fn a_queue_that_only_grows_is_not_read() {
        assert!(!after(&[10, 20]).stands_still());
        assert!(after(&[10, 20, 20]).stands_still(), "full, as it may be");
        assert!(!after(&[10, 20, 20, 19]).stands_still(), "it reads again");
        assert!(!after(&[0, 0, 0, 0]).stands_still() && after(&[5, 0]).is_empty());
    }
}
