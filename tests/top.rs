//! `llb top` in a real terminal, tmux's: what the screen shows, what keys do, and that the terminal is given back.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::harness::{Fleet, Stage, fleet::LLB, get, stopped::Stopped, until};
use llb::now;
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
        // Its own: a server that is told to end still takes clients for a moment.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tmux = Tmux { socket: stage.path().join(format!("tmux.{}", NEXT.fetch_add(1, Ordering::Relaxed))) };
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
        let shown = crate::harness::holds_within(crate::harness::DEADLINE, || {
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
    format!("'{LLB}' top --name {} --runtime-dir {}", fleet.name(), fleet.runtime_dir().display())
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
    (0..20).for_each(|_| assert!(get(ADDR, "/").slot() < 3));
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
        assert!(worker.cpu_s.is_some_and(|seconds| seconds < 60.0), "{worker:?}");
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

#[test]
fn a_killed_worker_is_seen_and_rows_are_sorted_and_filtered() {
    let stage = Stage::new();
    let fleet = start(&stage, "3");
    let tmux = Tmux::start(&stage, (140, 30), &[], &top(&fleet));
    let screen = tmux.until("all slots are shown", |screen| slots(screen) == [0, 1, 2]);
    assert!(screen.contains("3 of 3 serve") && screen.contains("▾slot") && screen.contains("? help"), "{screen}");

    let killed = fleet.worker(2).pid;
    kill(Pid::from_raw(killed.cast_signed()), Signal::SIGKILL).expect("a worker");
    tmux.shows(&format!("was killed by SIGKILL (pid {killed})"));
    let screen = tmux.until("the restart is counted", |screen| cell(screen, 2, "rst").as_deref() == Some("1"));
    assert!(screen.contains("restarts 1"), "{screen}");
    tmux.until("its successor is shown", |screen| {
        cell(screen, 2, "state").as_deref() == Some("serving") && cell(screen, 2, "pid") != Some(killed.to_string())
    });

    // By restarts, the last of the orders: slot 2 comes first.
    tmux.press(&["s"; 8]);
    tmux.until("it is sorted by restarts", |screen| slots(screen) == [2, 0, 1] && screen.contains("▾rst"));
    tmux.press(&["s"]);
    tmux.until("it is sorted by slots", |screen| slots(screen) == [0, 1, 2] && screen.contains("▾slot"));

    let pid = fleet.worker(1).pid.to_string();
    tmux.press(&["/", &pid, "Enter"]);
    tmux.until("one row passes the filter", |screen| {
        slots(screen) == [1] && screen.contains(&format!("filter: {pid}"))
    });
    tmux.press(&["Escape"]);
    tmux.until("all rows are back", |screen| slots(screen) == [0, 1, 2]);

    tmux.press(&["?"]);
    let help = tmux.shows("any key: back");
    for words in ["sort by the next column", "asks first", "the next fleet", "quit"] {
        assert!(help.contains(words), "{words:?} is not in {help}");
    }
    tmux.press(&["?"]);
    tmux.until("the rows are back", |screen| slots(screen) == [0, 1, 2]);

    // One worker, of those that have answered something.
    (0..20).for_each(|_| assert!(get(ADDR, "/").slot() < 3));
    let slot = fleet.status().workers.iter().find(|worker| worker.answered > Some(0)).expect("an answer").slot;
    tmux.press(&[&vec!["Down"; slot as usize][..], &["Enter"]].concat());
    let detail = tmux.shows("latencies since it joined");
    assert!(detail.contains(&format!("slot {slot}, pid ")) && detail.contains("p99.9"), "{detail}");
    tmux.press(&["Escape", "q"]);
    until("nothing is left of it", || !tmux.run(&["list-sessions"]).status.success());
}

#[test]
fn a_command_is_carried_out_after_a_yes_alone() {
    let stage = Stage::new();
    let fleet = start(&stage, "2");
    let tmux = Tmux::start(&stage, (120, 30), &[], &top(&fleet));
    tmux.until("all slots are shown", |screen| slots(screen) == [0, 1]);
    tmux.press(&["r"]);
    tmux.shows(&format!("Reload {}: replace all 2 workers? y: yes", fleet.name()));
    tmux.press(&["n"]);
    tmux.shows("not done");
    assert_eq!(fleet.status().generation, 1);
    tmux.press(&["r", "y"]);
    tmux.shows("generation 2 serves");
    tmux.shows("reloaded");
    assert_eq!(fleet.status().generation, 2);

    tmux.until("the old workers have gone", |screen| slots(screen) == [0, 1]);
    tmux.press(&["j", "d"]);
    tmux.shows("Drain slot 1 (pid ");
    tmux.press(&["y"]);
    tmux.shows("slot 1 is drained");
    tmux.until("its row says so", |screen| cell(screen, 1, "state").as_deref() == Some("drained"));
    tmux.press(&["x", "y"]);
    tmux.shows("slot 1 is served by pid");
    tmux.until("its row says so", |screen| cell(screen, 1, "state").as_deref() == Some("serving"));
    // Nobody would be left: it is refused, and said.
    tmux.press(&["d", "y"]);
    tmux.shows("slot 1 is drained");
    tmux.press(&["k", "d", "y"]);
    tmux.shows("refused: ");
}

#[test]
fn a_narrow_screen_has_fewer_columns_and_no_color_if_told_so() {
    let stage = Stage::new();
    let fleet = start(&stage, "2");
    let colored = |tmux: &Tmux| {
        let shown = String::from_utf8_lossy(&tmux.run(&["capture-pane", "-p", "-e"]).stdout).into_owned();
        let codes = shown.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
        codes.flat_map(|(codes, _)| codes.split(';')).any(|code| matches!(code, "31" | "32" | "33" | "36" | "38"))
    };
    let tmux = Tmux::start(&stage, (60, 20), &[], &top(&fleet));
    let screen = tmux.until("all slots are shown", |screen| slots(screen) == [0, 1]);
    let head = screen.lines().find(|line| line.contains("slot ")).expect("a head");
    assert_eq!(head.trim(), "▾slot     pid state     cpu%   rss flight p99 ms failed  rst", "{screen}");
    assert!(colored(&tmux));
    // It follows the window.
    tmux.run(&["resize-window", "-x", "160", "-y", "30"]);
    tmux.until("there is room for all columns", |screen| screen.contains("conn/s") && screen.contains("share"));
    drop(tmux);

    let tmux = Tmux::start(&stage, (60, 20), &[("NO_COLOR", "1"), ("LC_ALL", "C")], &top(&fleet));
    let screen = tmux.until("all slots are shown", |screen| slots(screen) == [0, 1]);
    assert!(!colored(&tmux) && screen.contains("*slot") && screen.is_ascii(), "{screen}");
}

#[test]
fn it_freezes_and_a_master_that_ends_is_said_and_met_again() {
    let stage = Stage::new();
    let mut fleet = start(&stage, "2");
    let tmux = Tmux::start(&stage, (120, 30), &[], &top(&fleet));
    tmux.until("all slots are shown", |screen| slots(screen) == [0, 1]);
    let master = fleet.pid();
    tmux.press(&["f"]);
    tmux.shows("FROZEN");
    fleet.kill_master();
    tmux.press(&["f"]);
    tmux.shows(&format!("no llb named {} runs here", fleet.name()));
    fleet.take_over(&["-n", "2", "-p", "8080"], &[&stage.static_server(), "8080"]);
    let screen = tmux.until("it is met again", |screen| screen.contains(&format!("pid {}", fleet.pid())));
    assert!(!screen.contains("no llb") && !screen.contains(&format!("pid {master} ")), "{screen}");

    // One that hangs is told from one that is not there.
    let stopped = Stopped::stop(fleet.pid());
    tmux.shows("does not answer");
    drop(stopped);
    tmux.until("it answers again", |screen| screen.contains("2 of 2 serve"));
}

#[test]
fn tab_shows_the_next_fleet() {
    let stage = Stage::new();
    let fleet = start(&stage, "2");
    // A fleet that was killed is one, too.
    let other = fleet.runtime_dir().join("zz");
    std::fs::create_dir(&other).expect("a directory");
    std::fs::write(other.join("control"), "").expect("a file");
    let tmux = Tmux::start(&stage, (120, 30), &[], &top(&fleet));
    tmux.shows(&format!("{} (1 of 2 fleets)", fleet.name()));
    tmux.press(&["Tab"]);
    tmux.shows("no llb named zz runs here");
    tmux.press(&["BTab"]);
    tmux.until("the first is back", |screen| slots(screen) == [0, 1]);
    std::fs::remove_dir_all(other).expect("a directory of our own");
}

#[test]
fn whatever_ends_it_the_terminal_is_given_back() {
    let stage = Stage::new();
    let fleet = start(&stage, "2");
    let path = |name: &str| stage.path().join(name).display().to_string();
    // A shell stays in the window, to look at the terminal after it.
    let script = format!(
        "cd $(dirname $0)\nstty -g > before\nsh -c \"echo \\$\\$ > pid; exec {}\"\nstty -g > after\necho it is over\nexec sleep 60\n",
        top(&fleet)
    );
    let script = stage.write("session.sh", &script);
    let tmux = Tmux::start(&stage, (100, 30), &[], &format!("exec sh {}", script.display()));
    tmux.until("all slots are shown", |screen| slots(screen) == [0, 1]);
    let pid = std::fs::read_to_string(path("pid")).expect("a file").trim().parse().expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("llb top");
    let screen = tmux.shows("it is over");
    assert!(!screen.contains("llb top"), "{screen}");
    let [before, after] = ["before", "after"].map(|name| std::fs::read_to_string(path(name)).expect("a file"));
    assert_eq!(before, after);
    let flags = tmux.run(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
    assert_eq!(String::from_utf8_lossy(&flags.stdout).trim(), "0 1");
}

/// Of a core: more than twice what a debug build takes on a machine that others use.
const LITTLE: f64 = 0.05;

#[test]
fn sixty_four_workers_cost_little_to_watch() {
    let stage = Stage::new();
    let fleet = start(&stage, "64");
    let tmux = Tmux::start(&stage, (160, 80), &[], &format!("exec {}", top(&fleet)));
    tmux.until("all slots are shown", |screen| slots(screen).len() == 64);
    let pid = String::from_utf8_lossy(&tmux.run(&["list-panes", "-F", "#{pane_pid}"]).stdout).trim().to_owned();
    let (before, begun) = (cpu_seconds(&pid), now());
    until("ten looks are over", || now().since(begun) > 10_000_000_000);
    let part = (cpu_seconds(&pid) - before) / (now().since(begun) as f64 / 1e9);
    println!("llb top takes {:.2}% of a core with 64 workers", 100.0 * part);
    assert!(part < LITTLE, "llb top takes {:.2}% of a core with 64 workers", 100.0 * part);
}

/// What a process has had of the processors: the 14th and 15th field of its stat, in hundredths of a second.
fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a count") / 100.0).sum()
}
