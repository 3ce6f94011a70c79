//! Colours, or none.

/// Paints text for a terminal; without `colour` it leaves text as it is.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) colour: bool,
}

impl Style {
    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// The kernel hash's colour, yellow.
    pub(super) fn hash(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// llb's colour, green.
    pub(super) fn llb(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
