//! Figures in few characters.

use crate::observe::event::{Event, printable};

/// What is not known is not 0.
fn known<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), shown)
}

/// A count, at most five characters.
pub(super) fn count(count: Option<u64>) -> String {
    known(count, |count| match count {
        0..=99_999 => count.to_string(),
        100_000..=9_999_999 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    })
}

/// Bytes, at most five characters.
pub(super) fn bytes(bytes: Option<u64>) -> String {
    known(bytes, |bytes| {
        let unit = [("G", 30), ("M", 20), ("K", 10)].into_iter().find(|(_, shift)| bytes >> shift > 0);
        let Some((name, shift)) = unit else { return bytes.to_string() };
        let number = bytes as f64 / (1_u64 << shift) as f64;
        if number < 9.95 { format!("{number:.1}{name}") } else { format!("{number:.0}{name}") }
    })
}

/// Milliseconds of microseconds, at most six characters.
pub(super) fn ms(us: Option<f64>) -> String {
    known(us, |us| match us / 1e3 {
        ms if ms < 99.995 => format!("{ms:.2}"),
        ms if ms < 999.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    })
}

/// Percents, 1 being 100.
pub(super) fn share(share: Option<f64>) -> String {
    known(share, |share| format!("{:.0}%", 100.0 * share))
}

/// Percents of one core.
pub(super) fn cpu(percent: Option<f64>) -> String {
    known(percent, |percent| if percent < 99.95 { format!("{percent:.1}") } else { format!("{percent:.0}") })
}

/// Something a second.
pub(super) fn rate(rate: Option<f64>) -> String {
    known(rate, |rate| if rate < 9.95 { format!("{rate:.1}") } else { count(Some(rate.round() as u64)) })
}

/// `12:00:00  slot 3  exited       was killed by SIGKILL`, in UTC.
pub(super) fn event(event: &Event) -> [String; 3] {
    let second = event.at_ms / 1_000 % 86_400;
    let time = format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    let slot = event.slot.map_or_else(|| "fleet".to_owned(), |slot| format!("slot {slot}"));
    let pid = event.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    [format!("{time}  {slot:<8}"), format!("{:<12}", event.event), format!("{}{pid}", printable(&event.cause))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::testing;

    #[test]
    fn figures_take_few_characters() {
        assert_eq!([0, 99_999, 100_000, 12_345_678].map(|n| count(Some(n))), ["0", "99999", "100k", "12M"]);
        assert_eq!([0, 1_023, 1_536, 10 << 20, 3 << 30].map(|n| bytes(Some(n))), ["0", "1023", "1.5K", "10M", "3.0G"]);
        assert_eq!([0.0, 3_150.0, 123_456.0, 9e6].map(|us| ms(Some(us))), ["0.00", "3.15", "123.5", "9000"]);
        assert_eq!([0.0, 5.55, 99.96, 812.0].map(|part| cpu(Some(part))), ["0.0", "5.5", "100", "812"]);
        assert_eq!([0.5, 9.96, 2_000.0].map(|n| rate(Some(n))), ["0.5", "10", "2000"]);
        assert_eq!((share(Some(0.254)), count(None), ms(None)), ("25%".into(), "-".into(), "-".into()));
    }

    #[test]
    fn an_event_is_short_and_does_nothing_to_the_terminal() {
        let shown = event(&testing::event(1, 3, "message", "\u{1b}[2J"));
        assert_eq!(shown.concat(), r"01:46:40  slot 3  message     \u{1b}[2J (pid 103)");
    }
}
