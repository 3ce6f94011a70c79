//! `llb top` in a real terminal, tmux's: what the screen shows, what keys do, and that the terminal is given back.

mod harness;

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use harness::{Fleet, Stage, fleet::LLB, get, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const ADDR: &str = "127.0.0.1:8080";

/// A tmux of its own with one window, killed with all that is in it when it is dropped.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a shell's line in a window of this size.
    #[track_caller]
    fn start(stage: &Stage, (width, height): (u16, u16), env: &[(&str, &str)], line: &str) -> Self {
        let tmux = Tmux { socket: stage.path().join("tmux") };
        let mut command = Command::new("tmux");
        // -u: it takes it that the outer terminal, which there is none of, has UTF-8.
        command.arg("-u").arg("-S").arg(&tmux.socket).args(["-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &width.to_string(), "-y", &height.to_string(), line]);
        command.env_remove("NO_COLOR").env_remove("TMUX").env("LC_ALL", "C.UTF-8").envs(env.iter().copied());
        let started = command.output().expect("tmux");
        assert!(started.status.success(), "{started:?}");
        tmux
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new("tmux").arg("-S").arg(&self.socket).args(args).output().expect("tmux")
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.run(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Presses keys, by tmux's names for them.
    fn press(&self, keys: &[&str]) {
        let pressed = self.run(&[&["send-keys"], keys].concat());
        assert!(pressed.status.success(), "{pressed:?}");
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut screen = String::new();
        let shown = harness::holds_within(harness::DEADLINE, || {
            screen = self.screen();
            holds(&screen)
        });
        assert!(shown, "waited in vain until {what}:\n{screen}");
        screen
    }

    #[track_caller]
    fn shows(&self, text: &str) -> String {
        self.until(&format!("{text:?} is shown"), |screen| screen.contains(text))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.run(&["kill-server"]);
    }
}

fn start(stage: &Stage, slots: &str) -> Fleet {
    stage.start(&["-n", slots, "-p", "8080", "--respawn", "100ms"], &[&stage.static_server(), "8080"])
}

fn top(fleet: &Fleet) -> String {
    format!("{LLB} top --name {} --runtime-dir {}", fleet.name(), fleet.runtime_dir().display())
}

/// Slots of the rows, from the top.
fn slots(screen: &str) -> Vec<u32> {
    let rows = screen.lines().skip_while(|line| !line.contains("slot ")).skip(1);
    rows.map_while(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// The figure of a slot's row below a title.
fn cell(screen: &str, slot: u32, title: &str) -> Option<String> {
    let mut lines = screen.lines().skip_while(|line| !line.contains("slot "));
    let head = lines.next()?.replace("p50 ms", "p50").replace("p99 ms", "p99").replace(['▾', '*'], "");
    let column = head.split_whitespace().position(|word| word == title)?;
    let row = lines.find(|line| line.split_whitespace().next() == Some(&slot.to_string()))?;
    row.split_whitespace().nth(column).map(str::to_owned)
}

#[test]
fn one_frame_is_printed_as_plain_text() {
    let stage = Stage::new();
    let fleet = start(&stage, "3");
    (0..20).for_each(|_| drop(get(ADDR, "/").slot()));
    let once = fleet.command("top").args(["--once"]).env("LC_ALL", "C").output().expect("the llb binary");
    assert!(once.status.success(), "{once:?}");
    let frame = String::from_utf8(once.stdout).expect("text");
    assert!(frame.is_ascii() && !frame.contains('\u{1b}'), "{frame}");
    assert!(frame.contains(fleet.name()) && frame.contains("3 of 3 serve") && frame.contains(ADDR), "{frame}");
    assert_eq!(slots(&frame), [0, 1, 2], "{frame}");
    for slot in 0..3 {
        let worker = fleet.worker(slot);
        assert_eq!(cell(&frame, slot, "pid"), Some(worker.pid.to_string()), "{frame}");
        assert_eq!(cell(&frame, slot, "state").as_deref(), Some("serving"), "{frame}");
        assert!(worker.cpu_seconds.is_some_and(|seconds| seconds < 60.0), "{worker:?}");
        assert!(worker.memory_bytes.is_some_and(|bytes| bytes > 1 << 12), "{worker:?}");
        let cpu = cell(&frame, slot, "cpu%").expect("a column");
        assert!(cpu.parse::<f64>().is_ok(), "{cpu:?} is no percents: {frame}");
    }
    assert!(frame.contains(" ready "), "no event: {frame}");
    let nobody = Command::new(LLB).args(["top", "--once", "--runtime-dir"]).arg(stage.path()).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no llb named main runs here"), "{nobody:?}");
    // A pipe is no screen.
    let piped = fleet.command("top").output().expect("the llb binary");
    assert!(!piped.status.success() && String::from_utf8_lossy(&piped.stderr).contains("--once"), "{piped:?}");
}
