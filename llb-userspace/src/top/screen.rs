//! The terminal while it is ours: whatever ends us, it is as it was before.

use std::{
    io::{self, BufWriter, Stdout},
    panic,
    process::exit,
};

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::{Hide, Show},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

use super::{draw::draw, theme::Theme, view::View};

/// The exit code of a program in Rust that has panicked.
const PANICKED: i32 = 101;

/// The terminal. Dropping it gives it back.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    theme: Theme,
}

impl Screen {
    pub(super) fn enter(theme: Theme) -> io::Result<Self> {
        leave_on_panic();
        enable_raw_mode()?;
        let mut out = BufWriter::new(io::stdout());
        let entered =
            execute!(out, EnterAlternateScreen, Hide).and_then(|()| Terminal::new(CrosstermBackend::new(out)));
        entered.map(|terminal| Screen { terminal, theme }).inspect_err(|_| leave())
    }

    pub(super) fn show(&mut self, view: &View) -> io::Result<()> {
        let theme = self.theme;
        self.terminal.draw(|frame| draw(view, theme, frame.area(), frame.buffer_mut())).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// A terminal that is gone needs nothing.
fn leave() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// A panic of any thread is shown where it can be read, and ends the program: a view that lacks a part deceives.
fn leave_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        leave();
        print(info);
        exit(PANICKED);
    }));
}

#[cfg(test)]
mod tests {
    use std::{env, thread};

    use super::{PANICKED, leave_on_panic};
    use crate::sys::testing::alone;

    /// Tells the test that it is the child which panics.
    const PANICS: &str = "LLB_TEST_PANICS";

    #[test]
    fn a_panic_of_any_thread_leaves_the_screen_and_ends() {
        if env::var_os(PANICS).is_some() {
            leave_on_panic();
            let _ended = thread::spawn(|| panic!("on purpose")).join();
            return;
        }
        let test = "top::screen::tests::a_panic_of_any_thread_leaves_the_screen_and_ends";
        let child = alone(test, PANICS);
        assert_eq!(child.status.code(), Some(PANICKED), "{child:?}");
        assert!(String::from_utf8_lossy(&child.stdout).contains("\u{1b}[?1049l\u{1b}[?25h"), "{child:?}");
        assert!(String::from_utf8_lossy(&child.stderr).contains("on purpose"), "{child:?}");
    }
}
