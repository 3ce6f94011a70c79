//! What the choice of a worker goes by.

/// What the choice of a worker goes by, besides its charges.
///
/// ```
/// use llb::balancer::{Settings, Tracking};
///
/// // Nothing is attached to the cgroup: what workers report is all that is known of them.
/// let settings = Settings { tracking: Tracking::Reports, ..Settings::default() };
/// assert_eq!(Settings::default().tracking, Tracking::Full);
/// # let _ = settings;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// What the kernel sees of every connection, and what workers report.
    #[default]
    Full,
    /// What workers report.
    Reports,
    /// Nothing.
    Off,
}

impl Tracking {
    /// The name on the command line.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Tracking::Full => "full",
            Tracking::Reports => "reports",
            Tracking::Off => "off",
        }
    }

    /// Whether the kernel keeps books of connections and requests.
    #[must_use]
    pub(crate) const fn keeps_books(self) -> bool {
        matches!(self, Tracking::Full)
    }

    /// Whether what workers report, or do not, makes their cost.
    #[must_use]
    pub(crate) const fn counts_reports(self) -> bool {
        matches!(self, Tracking::Full | Tracking::Reports)
    }
}
