//! How long something has lasted, for people.

/// At most four characters for three years.
pub(crate) fn age(seconds: f64) -> String {
    let units = [(60.0, 1.0, "s"), (60.0 * 60.0, 60.0, "m"), (48.0 * 3600.0, 3600.0, "h")];
    let unit = units.into_iter().find(|(below, _, _)| seconds < *below);
    let (_, length, name) = unit.unwrap_or((f64::INFINITY, 86400.0, "d"));
    format!("{}{name}", (seconds / length) as u64)
}
