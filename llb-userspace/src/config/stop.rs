//! How workers are asked to end.

use std::{fmt, str::FromStr};

use nix::sys::signal::Signal;

/// The signal that asks a worker to end, by its name with or without `SIG`, or by its number.
///
/// ```
/// use llb::config::{Config, StopSignal, StopWhom};
///
/// # fn main() -> Result<(), String> {
/// let quit: StopSignal = "QUIT".parse()?;
/// assert_eq!(quit.to_string(), "SIGQUIT");
/// assert_eq!("3".parse(), Ok(quit));
/// assert!("KILL".parse::<StopSignal>().is_err(), "no program can end in order then");
///
/// let mut config = Config::new("nginx", ["-g", "daemon off;"]);
/// config.stop_signal = Some(quit);
/// assert_eq!(config.stop_whom, StopWhom::First);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopSignal(Signal);

impl StopSignal {
    /// The signal.
    pub(crate) fn signal(self) -> Signal {
        self.0
    }
}

impl Default for StopSignal {
    fn default() -> Self {
        StopSignal(Signal::SIGTERM)
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl FromStr for StopSignal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_uppercase();
        let named = || format!("SIG{}", name.strip_prefix("SIG").unwrap_or(&name)).parse::<Signal>();
        let signal = match text.parse::<i32>() {
            Ok(number) => Signal::try_from(number),
            Err(_) => named(),
        };
        match signal.map_err(|_| "give a signal, as TERM, SIGQUIT or 3".to_owned())? {
            Signal::SIGKILL | Signal::SIGSTOP => Err("no program can catch it, and so end in order".into()),
            signal => Ok(StopSignal(signal)),
        }
    }
}

/// Which of a worker's processes are asked to end. An example is at [`StopSignal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopWhom {
    /// Its first one, which sees to its children; the others when that has exited.
    #[default]
    First,
    /// All at once.
    All,
}
