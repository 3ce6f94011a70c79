//! `llb top`: fleets, as they live, in a terminal.
//!
//! [`figures`] makes rates of two looks at a fleet, [`fleet`] keeps what is known of one, [`model`] turns what comes (a look,
//! an event, a key) into what is shown and what is asked for, and [`draw`] puts that into cells: none of them knows a clock, a
//! socket or a terminal. [`live`] and [`once`] are the edge.

mod canvas;
mod columns;
mod detail;
mod draw;
mod figures;
mod fleet;
mod format;
mod keys;
mod live;
mod once;
mod screen;
mod sort;
mod sources;
mod theme;
mod view;

pub(crate) use live::run as live;
pub(crate) use once::frame;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod view_tests;
