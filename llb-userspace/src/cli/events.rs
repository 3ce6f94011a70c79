//! `llb events`.

use std::{
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use super::{args::EventsArgs, output};
use crate::{
    control::{Missed, Told},
    observe::event::{Event, printable},
};

/// Follows until the fleet ends, or the reader.
pub(super) fn run(args: &EventsArgs) -> anyhow::Result<ExitCode> {
    for told in args.common.fleet.of().events(args.follow)? {
        let line = match told {
            Ok(told) if args.common.json => serde_json::to_string(&told)?,
            Ok(told) => text(&told),
            Err(error) => return Err(error.into()),
        };
        if !output::write(&format!("{line}\n"))? {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `2026-01-01T00:00:00.000Z  slot 3  pid 4121    gen 2  exited       was killed by SIGKILL`
fn text(told: &Told) -> String {
    let Event { at_ms, event, slot, pid, generation, cause, .. } = match told {
        Told::Event(event) => event,
        Told::Missed(Missed { missed }) => return format!("... {missed} events were too fast for this reader"),
    };
    let at = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(*at_ms));
    let slot = slot.map_or_else(|| "fleet".to_owned(), |slot| format!("slot {slot}"));
    let pid = pid.map_or_else(String::new, |pid| format!("pid {pid}"));
    let cause = printable(cause);
    format!("{at}  {slot:<8} {pid:<11} gen {generation:<3} {event:<12} {cause}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let event = Event {
            seq: 7,
            at_ms: 1_000_000_000_123,
            event: "exited".into(),
            slot: Some(3),
            pid: Some(4121),
            generation: 2,
            cause: "was killed by SIGKILL".into(),
        };
        let line = text(&Told::Event(event.clone()));
        assert_eq!(line, "2001-09-09T01:46:40.123Z  slot 3   pid 4121    gen 2   exited       was killed by SIGKILL");
        let fleet = Event { slot: None, pid: None, event: "reloaded".into(), cause: String::new(), ..event };
        assert_eq!(text(&Told::Event(fleet)), "2001-09-09T01:46:40.123Z  fleet                gen 2   reloaded");
        assert!(text(&Told::Missed(Missed { missed: 12 })).contains("12 events"));
    }
}
